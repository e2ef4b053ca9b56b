/** The same areas on mm-core's own tables and page allocator: bits in physical memory instead of maps. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NONE } from "@kreplica/hw-x86/api";
import { KERNEL_DATA } from "@kreplica/mm-core/api";
import { fixedHolders, testKernel, type TestKernel } from "@kreplica/mm-core/testing";
import { checkAreas, VmallocError, type Vmalloc, type VmArea } from "../src/index.js";
import { ExactAccount } from "../src/page-account.js";
import { MapOverReplicator } from "../src/replicate-range.js";
import { OwnBits } from "../src/area-bits.js";
import { EveryCopyFlush } from "../src/reset-aliases.js";
import { NoShadow } from "../src/shadow.js";
import { AreaVmalloc } from "../src/vmalloc.js";

const nodes = [0, 1, 2, 3].map((id) => ({ id, memoryMiB: 32, cpus: 1 }));
const on = (kernel: TestKernel): Vmalloc => {
  const { allocator, tables, layout, view } = kernel;
  const { memory } = kernel.machine;
  const replicator = new MapOverReplicator(allocator, memory, tables);
  return new AreaVmalloc(
    allocator,
    memory,
    tables,
    layout,
    view,
    replicator,
    new EveryCopyFlush(),
    new ExactAccount(memory),
    new NoShadow(),
    new OwnBits(layout),
    { lazyPages: 64 },
    kernel.textUsers,
  );
};
const boot = (holders: readonly number[], levels: 4 | 5): { kernel: TestKernel; vm: Vmalloc } => {
  const kernel = testKernel({ nodes, levels, view: fixedHolders(...holders), master: holders[0]! });
  for (const cpu of [0, 1]) kernel.cpus.bringUp(cpu);
  // A direct map of 2 MiB leaves, so that aliases have to be split.
  kernel.tables.editLazily((editor) => {
    for (const { first, frames } of kernel.machine.memory.ranges) {
      for (let frame = first; frame < first + frames; frame += 512)
        editor.map(kernel.layout.pageOffset + BigInt(frame) * 4096n, { ...KERNEL_DATA, level: 2, frame });
    }
  });
  return { kernel, vm: on(kernel) };
};
const findings = (kernel: TestKernel, vm: Vmalloc): string[] =>
  checkAreas({
    vmalloc: vm,
    tables: kernel.tables,
    view: kernel.view,
    memory: kernel.machine.memory,
    layout: kernel.layout,
  }).map(({ id, detail }) => `${id}: ${detail}`);
const tablesUsed = (kernel: TestKernel): number =>
  nodes.reduce((sum, { id }) => sum + kernel.allocator.usedFrames(id, "page-table"), 0);

describe.each([
  [[0, 1], 4],
  [[1, 3], 4],
  [[0, 1, 2, 3], 5],
] as const)("holders %j, %i levels", (holders, levels) => {
  test("areas come, are copied, sealed and go, and every frame comes back", () => {
    const step = fc.record({
      op: fc.constantFrom("module", "module", "vmalloc", "free", "replicate", "seal"),
      pages: fc.integer({ min: 1, max: 6 }),
      which: fc.nat(5),
      reset: fc.boolean(),
    });
    const { kernel, vm } = boot(holders, levels);
    const usedAtFirst = nodes.map(({ id }) => kernel.allocator.usedFrames(id, "module"));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25, size: "max" }), (steps) => {
        const live: VmArea[] = [];
        for (const { op, pages, which, reset } of steps) {
          const area = live[which % Math.max(1, live.length)];
          if (op === "module" || op === "vmalloc") {
            const made = vm.allocate({
              bytes: pages * 4096,
              placement: { node: holders[which % holders.length]! },
              purpose: "module",
              resetPermissions: reset,
              ...(op === "module" ? { low: kernel.layout.modulesStart, high: kernel.layout.modulesEnd } : {}),
            });
            vm.write(made, 0, new Uint8Array(pages * 4096).fill(which + 1));
            live.push(made);
          } else if (op === "replicate" && area?.state === "shared") expect(vm.replicate(area)).toBe("replicated");
          else if (op === "seal" && area)
            kernel.tables.edit((editor) =>
              editor.protect(area, { writable: false, executable: true }, area.resetPermissions),
            );
          else if (op === "free" && area) {
            vm.free(area);
            live.splice(live.indexOf(area), 1);
          }
          expect(findings(kernel, vm)).toEqual([]);
        }
        for (const area of live) vm.free(area);
        vm.purge();
        expect(vm.counters.used).toBe(0);
        expect(nodes.map(({ id }) => kernel.allocator.usedFrames(id, "module"))).toEqual(usedAtFirst);
      }),
      { numRuns: 15, seed: 3 },
    );
  });

  test("the same load and unload again and again makes no more table pages", () => {
    const { kernel, vm } = boot(holders, levels);
    const counts: number[] = [];
    for (let round = 0; round < 6; round++) {
      const area = vm.allocate({
        bytes: 600 * 4096,
        placement: { node: holders[0] },
        purpose: "module",
        resetPermissions: true,
        low: kernel.layout.modulesStart,
        high: kernel.layout.modulesEnd,
      });
      vm.replicate(area);
      kernel.tables.edit((editor) => editor.protect(area, { writable: false }, true));
      vm.free(area);
      counts.push(tablesUsed(kernel));
    }
    // The first round makes the tables and splits the aliases; the allocator may hand other frames to the second.
    expect(new Set(counts.slice(2)).size).toBe(1);
  });
});

test.each([
  [[0, 1], 4],
  [[1, 3], 4],
  [[0, 1, 2, 3], 5],
] as const)(
  "holders %j, %i levels: large and small areas in turn at the same addresses, the old tables go on every holder",
  (holders, levels) => {
    const { kernel, vm } = boot(holders, levels);
    const at = kernel.layout.modulesStart + 0x80_0000n;
    const counts: number[] = [];
    for (let round = 0; round < 3; round++) {
      const small = vm.allocate({
        bytes: 0x20_0000,
        at,
        noGuard: true,
        placement: { node: holders[0] },
        purpose: "module",
      });
      expect(small.level).toBe(1);
      vm.free(small);
      vm.purge();
      const large = vm.allocate({
        bytes: 0x20_0000,
        huge: true,
        at,
        noGuard: true,
        placement: { node: holders[0] },
        purpose: "module",
      });
      expect(large.level).toBe(2);
      vm.write(large, 0x1234, Uint8Array.of(round + 1));
      expect(vm.replicate(large)).toBe("replicated");
      for (const holder of holders) expect(kernel.tables.lookup(holder, at + 0x1000n)).toMatchObject({ level: 2 });
      expect(findings(kernel, vm)).toEqual([]);
      vm.free(large);
      vm.purge();
      counts.push(tablesUsed(kernel));
    }
    // The tables for small leaves are taken and given back in turn: no growth.
    expect(new Set(counts).size).toBe(1);
  },
);

test("refused at every n, on real tables, an area is whole or gone", () => {
  let refused = 0;
  for (let n = 1; n < 40; n++) {
    const { kernel, vm } = boot([0, 1, 2], 4);
    const request = {
      bytes: 9 * 4096,
      placement: { node: 1 },
      purpose: "module" as const,
      low: kernel.layout.modulesStart,
      high: kernel.layout.modulesEnd,
    };
    kernel.allocator.refuse(n, true);
    try {
      vm.allocate(request);
    } catch (error) {
      expect(error).toBeInstanceOf(VmallocError);
      refused++;
    }
    kernel.allocator.refuse(0);
    const area = vm.areas()[0] ?? vm.allocate(request);
    kernel.allocator.refuse(n, true);
    const outcome = vm.replicate(area);
    kernel.allocator.refuse(0);
    if (outcome === "no-memory") refused++;
    expect(findings(kernel, vm)).toEqual([]);
    for (const holder of [0, 1, 2]) expect(vm.toFrameOn(holder, area.start)).not.toBe(NONE);
  }
  expect(refused).toBeGreaterThan(6);
});

test("several areas are copied with one flush, each for itself: one that gets no memory stays shared, the others have theirs", () => {
  const { kernel, vm } = boot([0, 1, 2], 4);
  const areas = [40, 1, 25].map((pages) => {
    const area = vm.allocate({
      bytes: pages * 4096,
      placement: { node: 0 },
      purpose: "module",
      low: kernel.layout.modulesStart,
      high: kernel.layout.modulesEnd,
    });
    vm.write(area, 0, new Uint8Array(pages * 4096).fill(pages));
    return area;
  });
  const before = kernel.tables.flushes;
  // 40 pages are 32 + 8: two blocks for each of two copies; the fifth request is the second area's first.
  kernel.allocator.refuse(5);
  const outcomes = vm.replicateAll(areas);
  kernel.allocator.refuse(0);
  expect(outcomes).toEqual(["replicated", "no-memory", "replicated"]);
  expect(areas.map(({ state }) => state)).toEqual(["replicated", "shared", "replicated"]);
  expect(kernel.tables.flushes - before).toBe(1);
  expect(findings(kernel, vm)).toEqual([]);
  expect(() => vm.replicateAll([areas[0]!, areas[2]!])).toThrow("already-replicated");
});

test("an area whose leaves cannot be re-pointed stays shared, and its copies' frames come back", () => {
  const { kernel, vm } = boot([0, 1, 2], 4);
  const areas = [7, 5].map((pages) =>
    vm.allocate({
      bytes: pages * 4096,
      placement: { node: 0 },
      purpose: "module",
      low: kernel.layout.modulesStart,
      high: kernel.layout.modulesEnd,
    }),
  );
  const used = (): number => nodes.reduce((sum, { id }) => sum + kernel.allocator.usedFrames(id, "module"), 0);
  const before = used();
  const { edit } = kernel.tables;
  kernel.tables.edit = (change) =>
    edit.call(kernel.tables, (editor) =>
      change(
        Object.create(editor, {
          repoint: {
            value: (...[range, frames]: Parameters<typeof editor.repoint>) =>
              range.start !== areas[0]!.start && editor.repoint(range, frames),
          },
        }) as typeof editor,
      ),
    ) as never;
  expect(vm.replicateAll(areas)).toEqual(["no-memory", "replicated"]);
  kernel.tables.edit = edit;
  expect(areas.map(({ state }) => state)).toEqual(["shared", "replicated"]);
  expect(used() - before).toBe(5 * 2);
  expect(findings(kernel, vm)).toEqual([]);
});

test.each([[true], [false]])(
  "what a sealed area's frames were in the direct map they are again when it goes, G bit %s included",
  (global) => {
    const { kernel, vm } = boot([0, 1], 4);
    const area = vm.allocate({
      bytes: 5 * 4096,
      placement: { node: 0 },
      purpose: "module",
      resetPermissions: true,
      low: kernel.layout.modulesStart,
      high: kernel.layout.modulesEnd,
    });
    expect(vm.replicate(area)).toBe("replicated");
    const frames = [area.frames, ...area.copies.values()].flat();
    const alias = (frame: number): bigint => kernel.layout.pageOffset + BigInt(frame) * 4096n;
    kernel.tables.edit((editor) => {
      for (const frame of frames) editor.protect({ start: alias(frame), pages: 1 }, { global });
    });
    const seen = (): unknown[] =>
      frames.map((frame) => {
        const { writable, executable, global: g, cache } = kernel.tables.lookup(0, alias(frame))!;
        return { writable, executable, global: g, cache };
      });
    const before = seen();
    kernel.tables.edit((editor) => editor.protect(area, { writable: false, executable: true }, true));
    expect(seen()).not.toEqual(before);
    vm.free(area);
    expect(seen()).toEqual(before);
  },
);

test("an area's copies cost a store a page and holder, and one flush", () => {
  const { kernel, vm } = boot([0, 1, 2], 4);
  const area = vm.allocate({
    bytes: 100 * 4096,
    placement: { node: 0 },
    purpose: "module",
    low: kernel.layout.modulesStart,
    high: kernel.layout.modulesEnd,
  });
  const before = { stores: kernel.tables.stores.total, flushes: kernel.tables.flushes };
  expect(vm.replicate(area)).toBe("replicated");
  expect(findings(kernel, vm)).toEqual([]);
  expect({
    stores: kernel.tables.stores.total - before.stores,
    flushes: kernel.tables.flushes - before.flushes,
  }).toEqual({ stores: 200, flushes: 1 });
});

test("an area whose large leaf a permission change has split goes whole, on every holder", () => {
  const { kernel, vm } = boot([0, 1], 4);
  const area = vm.allocate({
    bytes: 0x20_0000,
    huge: true,
    placement: { node: 0 },
    purpose: "module",
    low: kernel.layout.modulesStart,
    high: kernel.layout.modulesEnd,
  });
  expect(area.level).toBe(2);
  kernel.tables.edit((editor) => editor.protect({ start: area.start + 0x3000n, pages: 1 }, { writable: false }));
  expect(kernel.tables.lookup(1, area.start)).toMatchObject({ level: 1 });
  vm.free(area);
  for (const holder of [0, 1])
    for (let page = 0n; page < 512n; page++) expect(vm.toFrameOn(holder, area.start + page * 4096n)).toBe(NONE);
});
