/** Areas against a slow model, with memory that gives out anywhere. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Plugin } from "@kreplica/di";
import { NONE } from "@kreplica/hw-x86/api";
import { checkAreas, Vmalloc, vmalloc, vmallocWith, VmallocError, type VmArea } from "../src/index.js";
import { fakeKernel, fakeLayout, type FakeKernel } from "../src/testing.js";

const modules = { low: fakeLayout.modulesStart, high: fakeLayout.modulesEnd };
const boot = (
  holders: readonly number[],
  plugins: readonly Plugin[] = [vmalloc],
  framesPerNode = 4096,
): FakeKernel & { vm: Vmalloc } => {
  const kernel = fakeKernel({ holders, plugins, framesPerNode });
  return { ...kernel, vm: kernel.assembly.get(Vmalloc) };
};
const findings = (kernel: FakeKernel & { vm: Vmalloc }): string[] =>
  checkAreas({ ...kernel, vmalloc: kernel.vm }).map(({ id, detail }) => `${id}: ${detail}`);
const bytesOf = (seed: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (seed * 31 + i * 7) & 255);
const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof VmallocError) return error.code;
    throw error;
  }
  return "none";
};

describe.each([[[0]], [[0, 1]], [[1, 3]], [[0, 1, 2, 3]]])("areas on holders %j", (holders) => {
  const step = fc.record({
    op: fc.constantFrom("allocate", "allocate", "module", "module", "free", "replicate", "seal", "purge", "write"),
    pages: fc.integer({ min: 1, max: 5 }),
    which: fc.nat(7),
    node: fc.nat(3),
    reset: fc.boolean(),
    guard: fc.boolean(),
    interleave: fc.boolean(),
  });

  test("never overlap, show the same bytes on every node, and leave nothing behind", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
        const kernel = boot(holders);
        const { vm } = kernel;
        const live: { area: VmArea; bytes: Uint8Array }[] = [];
        steps.forEach(({ op, pages, which, node, reset, guard, interleave }, seed) => {
          const chosen = live[which % Math.max(1, live.length)];
          if (op === "allocate" || op === "module") {
            const home = holders[node % holders.length]!;
            const area = vm.allocate({
              bytes: pages * 4096 - 100,
              placement: interleave ? { interleave: holders } : { node: home },
              purpose: "module",
              noGuard: !guard,
              resetPermissions: reset,
              ...(op === "module" ? modules : {}),
            });
            expect(area.pages).toBe(pages);
            expect(area.state).toBe(op === "module" && holders.length > 1 ? "shared" : "unshared");
            const bytes = bytesOf(seed, pages * 4096);
            vm.write(area, 0, bytes);
            for (const other of live) {
              const [a, b] = [area, other.area].map(
                (each) => [each.start, each.start + BigInt(each.pages + (each.guard ? 1 : 0)) * 4096n] as const,
              );
              expect(a![1] <= b![0] || b![1] <= a![0]).toBe(true);
            }
            live.push({ area, bytes });
          } else if (op === "free" && chosen) {
            vm.free(chosen.area);
            live.splice(live.indexOf(chosen), 1);
            for (const holder of holders) expect(vm.toFrameOn(holder, chosen.area.start)).toBe(NONE);
            expect(vm.find(chosen.area.start)).toBeUndefined();
          } else if (op === "replicate" && chosen) {
            if (chosen.area.state === "replicated")
              expect(codeOf(() => vm.replicate(chosen.area))).toBe("already-replicated");
            else if (chosen.area.state === "unshared")
              expect(codeOf(() => vm.replicate(chosen.area))).toBe("not-in-window");
            else {
              kernel.tables.holes.length = 0;
              const flushes = kernel.tables.flushes;
              expect(vm.replicate(chosen.area)).toBe("replicated");
              expect(kernel.tables.flushes - flushes).toBe(1);
              expect(kernel.tables.holes).toEqual([]);
            }
          } else if (op === "seal" && chosen)
            kernel.tables.edit((editor) => editor.protect(chosen.area, { writable: false, executable: true }, true));
          else if (op === "write" && chosen) {
            if (chosen.area.state === "replicated")
              expect(() => vm.write(chosen.area, 0, Uint8Array.of(1))).toThrow("one copy of many");
            else {
              const bytes = bytesOf(seed, 300);
              const offset = (which * 1000) % (chosen.area.pages * 4096 - 300);
              vm.write(chosen.area, offset, bytes);
              chosen.bytes.set(bytes, offset);
            }
          } else if (op === "purge") {
            vm.purge();
            expect(vm.counters.lazyPages).toBe(0);
          }
          for (const { area, bytes } of live) {
            for (const holder of holders) {
              const seen = new Uint8Array(bytes.length);
              vm.read(holder, area, 0, seen);
              expect(Buffer.compare(seen, bytes)).toBe(0);
            }
            expect(vm.find(area.start + BigInt(area.pages) * 4096n - 1n)).toBe(area);
          }
          expect(findings(kernel)).toEqual([]);
          expect(kernel.tables.tooEarly).toEqual([]);
          expect(vm.counters.areas).toBe(live.length);
        });
        for (const { area } of live) vm.free(area);
        vm.purge();
        expect(vm.counters.used).toBe(0);
        expect(kernel.tables.owed.filter(({ frame }) => kernel.allocator.isFree(frame))).toEqual([]);
        for (const holder of holders) {
          expect(kernel.allocator.usedFrames(holder, "module")).toBe(0);
          expect(kernel.tables.snapshot(holder).filter(([address]) => address >= fakeLayout.vmallocStart)).toEqual([]);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("lowest gap", () => {
  test("is taken again after its area is flushed, and not before", () => {
    const { vm } = boot([0, 1]);
    const place = { placement: { node: 0 }, purpose: "module" as const, ...modules };
    const [a, b] = [vm.allocate({ bytes: 4096, ...place }), vm.allocate({ bytes: 8192, ...place })];
    expect([a.start, b.start]).toEqual([modules.low, modules.low + 0x2000n]);
    vm.free(a);
    expect(vm.counters.lazyPages).toBe(2);
    expect(vm.allocate({ bytes: 4096, ...place }).start).toBe(modules.low + 0x5000n);
    vm.purge();
    expect(vm.allocate({ bytes: 4096, ...place }).start).toBe(modules.low);
  });

  test("a full range is purged and tried again before it is refused", () => {
    const { vm } = boot([0, 1]);
    const place = { placement: { node: 0 }, purpose: "module" as const, low: modules.low, high: modules.low + 0x4000n };
    const area = vm.allocate({ bytes: 0x3000, ...place });
    expect(codeOf(() => vm.allocate({ bytes: 1, ...place }))).toBe("no-space");
    vm.free(area);
    expect(vm.allocate({ bytes: 0x3000, ...place }).start).toBe(area.start);
  });

  test("many lazy areas share one flush", () => {
    const kernel = boot([0, 1], [vmallocWith({ cpus: 1 })]);
    const areas = Array.from({ length: 50 }, () =>
      kernel.vm.allocate({ bytes: 4096, placement: { node: 0 }, purpose: "kernel" }),
    );
    const before = kernel.tables.flushes;
    for (const area of areas) kernel.vm.free(area);
    expect(kernel.tables.flushes).toBe(before);
    kernel.vm.purge();
    expect(kernel.tables.flushes).toBe(before + 1);
  });

  test("a given address is taken exactly, or refused", () => {
    const { vm } = boot([0]);
    const request = { bytes: 4096, placement: { node: 0 }, purpose: "module" as const, at: modules.low + 0x8000n };
    expect(vm.allocate(request).start).toBe(request.at);
    expect(codeOf(() => vm.allocate(request))).toBe("taken");
    expect(codeOf(() => vm.allocate({ ...request, at: request.at - 0x1000n }))).toBe("taken"); // its guard page would lie there
    expect(codeOf(() => vm.allocate({ ...request, at: 0x1234n }))).toBe("bad-request");
    expect(codeOf(() => vm.allocate({ ...request, bytes: 0 }))).toBe("bad-request");
  });
});

describe("large leaves", () => {
  test("base and copies are 2 MiB leaves, in one store a node", () => {
    const kernel = boot([0, 1]);
    const area = kernel.vm.allocate({
      bytes: 0x40_0000,
      huge: true,
      placement: { node: 0 },
      purpose: "module",
      ...modules,
    });
    expect(area.level).toBe(2);
    kernel.vm.write(area, 0x20_1000, Uint8Array.of(7));
    const stores = kernel.tables.stores.total;
    expect(kernel.vm.replicate(area)).toBe("replicated");
    expect(kernel.tables.stores.total - stores).toBe(2);
    expect(findings(kernel)).toEqual([]);
    expect(kernel.tables.lookup(1, area.start)!.frame % 512).toBe(0);
    kernel.vm.free(area);
    kernel.vm.purge();
    expect(kernel.vm.counters.used).toBe(0);
  });

  test("where small leaves were before, their tables go back and large ones fit; where a table stays in use, small ones do", () => {
    const kernel = boot([0, 1]);
    const small = kernel.vm.allocate({
      bytes: 0x40_0000,
      noGuard: true,
      placement: { node: 0 },
      purpose: "module",
      ...modules,
    });
    const tables = (): number =>
      kernel.allocator.usedFrames(0, "page-table") + kernel.allocator.usedFrames(1, "page-table");
    expect(tables()).toBe(4);
    kernel.vm.free(small);
    kernel.vm.purge();
    const large = kernel.vm.allocate({
      bytes: 0x20_0000,
      huge: true,
      noGuard: true,
      placement: { node: 0 },
      purpose: "module",
      ...modules,
    });
    expect([large.start, large.level, tables()]).toEqual([small.start, 2, 2]);
    expect(kernel.vm.replicate(large)).toBe("replicated");
    expect(findings(kernel)).toEqual([]);
    expect(kernel.tables.tooEarly).toEqual([]);
    // A leaf of somebody else's in the second 2 MiB: vmalloc cannot know, and falls back.
    const used = small.start + 0x20_0000n;
    kernel.tables.edit((editor) =>
      editor.map(used + 0x5000n, {
        frame: 5,
        level: 1,
        writable: true,
        executable: false,
        global: true,
        user: false,
        present: true,
        cache: "wb",
      }),
    );
    kernel.tables.edit((editor) => editor.unmap(used + 0x5000n, 1));
    const room = kernel.tables.makeRoomForLarge.bind(kernel.tables);
    kernel.tables.makeRoomForLarge = () => false;
    const again = kernel.vm.allocate({
      bytes: 0x20_0000,
      huge: true,
      noGuard: true,
      placement: { node: 0 },
      purpose: "module",
      ...modules,
    });
    kernel.tables.makeRoomForLarge = room;
    expect([again.start, again.level]).toEqual([used, 1]);
    expect(findings(kernel)).toEqual([]);
  });

  test("small leaves do when no 2 MiB block is free", () => {
    const kernel = boot([0], [vmalloc], 1000);
    kernel.allocator.allocate(0, 0, { purpose: "data" });
    const area = kernel.vm.allocate({
      bytes: 0x20_0000,
      huge: true,
      placement: { node: 0 },
      purpose: "module",
      ...modules,
    });
    expect(area.level).toBe(1);
  });
});

describe("vmap", () => {
  test("shows the caller's frames on every node, cannot be replicated, and frees none of them", () => {
    const kernel = boot([0, 1]);
    const frame = kernel.allocator.allocate(1, 1, { purpose: "data" });
    const used = kernel.allocator.used;
    const area = kernel.vm.map({ frames: [frame + 1, frame], purpose: "data", ...modules });
    expect([kernel.vm.toFrame(area.start), kernel.vm.toFrameOn(1, area.start + 4096n)]).toEqual([frame + 1, frame]);
    expect(codeOf(() => kernel.vm.replicate(area))).toBe("not-owned");
    expect(kernel.vm.counters.used).toBe(0);
    kernel.vm.free(area);
    kernel.vm.purge();
    expect(kernel.allocator.used).toBe(used + 2); // a table page for each node stays
    expect(codeOf(() => kernel.vm.free(area))).toBe("no-area");
    expect(codeOf(() => kernel.vm.map({ frames: [], purpose: "data" }))).toBe("bad-request");
  });
});

describe("memory that gives out at every n", () => {
  test.each([[[0, 1]], [[0, 1, 2]]])("allocate and replicate on %j keep nothing and lose nothing", (holders) => {
    let allocateRefused = 0;
    let replicateRefused = 0;
    for (let n = 1; n < 60; n++) {
      const kernel = boot(holders);
      const { vm, allocator } = kernel;
      const request = { bytes: 7 * 4096, placement: { node: 1 }, purpose: "module" as const, ...modules };
      const before = allocator.used;
      allocator.refuse(n, true);
      const code = codeOf(() => vm.allocate(request));
      allocator.refuse(0);
      if (code !== "none") {
        allocateRefused++;
        expect(["out-of-frames", "out-of-tables"]).toContain(code);
        expect(vm.counters.used + vm.counters.areas + vm.counters.lazyPages).toBe(0);
        // Table pages may stay (they are kept for the next mapping), frames of the area may not.
        for (const holder of holders) expect(allocator.usedFrames(holder, "module")).toBe(0);
        expect(allocator.used - before).toBeLessThanOrEqual(holders.length);
        expect(findings(kernel)).toEqual([]);
      }
      const area = code === "none" ? vm.areas()[0]! : vm.allocate(request);
      expect(area.start).toBe(modules.low);
      const bytes = bytesOf(n, 7 * 4096);
      vm.write(area, 0, bytes);
      const held = allocator.used;
      allocator.refuse(n, true);
      const outcome = vm.replicate(area);
      allocator.refuse(0);
      if (outcome === "no-memory") {
        replicateRefused++;
        expect(area.state).toBe("shared");
        expect(allocator.used).toBe(held);
      } else expect(outcome).toBe("replicated");
      for (const holder of holders) {
        const seen = new Uint8Array(bytes.length);
        vm.read(holder, area, 0, seen);
        expect(Buffer.compare(seen, bytes)).toBe(0);
      }
      expect(findings(kernel)).toEqual([]);
      expect(kernel.tables.tooEarly).toEqual([]);
      if (outcome === "no-memory") expect(vm.replicate(area)).toBe("replicated");
    }
    expect(allocateRefused).toBeGreaterThan(3);
    expect(replicateRefused).toBeGreaterThan(2);
  });
});

describe("permissions reset on freeing", () => {
  test("the alias of every copy, wherever it lies, is writable again and was flushed in between", () => {
    for (const home of [0, 1]) {
      const kernel = boot([0, 1]);
      const area = kernel.vm.allocate({
        bytes: 3 * 4096,
        placement: { node: home },
        purpose: "module",
        resetPermissions: true,
        ...modules,
      });
      kernel.vm.replicate(area);
      kernel.tables.edit((editor) =>
        editor.protect({ start: area.start, pages: 3 }, { writable: false, executable: true }, true),
      );
      const frames = [...area.frames, ...[...area.copies.values()].flat()];
      const alias = (frame: number): bigint => fakeLayout.pageOffset + BigInt(frame) * 4096n;
      for (const frame of frames) expect(kernel.tables.lookup(0, alias(frame))!.writable).toBe(false);
      const flushes = kernel.tables.flushes;
      kernel.vm.free(area);
      expect(kernel.tables.flushes).toBe(flushes + 1);
      expect(kernel.vm.counters.lazyPages).toBe(0);
      for (const frame of frames)
        expect(kernel.tables.lookup(0, alias(frame))).toMatchObject({
          writable: true,
          executable: false,
          present: true,
        });
      expect(kernel.tables.owed).toEqual([]);
      expect(kernel.tables.tooEarly).toEqual([]);
    }
  });

  test("areas that were never sealed cost no alias stores", () => {
    const kernel = boot([0, 1]);
    const area = kernel.vm.allocate({ bytes: 3 * 4096, placement: { node: 0 }, purpose: "module", ...modules });
    kernel.vm.resetPermissions(area);
    const stores = kernel.tables.stores.total;
    kernel.vm.free(area);
    expect(kernel.tables.stores.total - stores).toBe(2 * 3);
  });
});

describe("interleaved areas", () => {
  test("after replication every holder, the base holder included, reads its own memory", () => {
    const kernel = boot([0, 1]);
    const area = kernel.vm.allocate({
      bytes: 4 * 4096,
      placement: { interleave: [0, 1] },
      purpose: "module",
      ...modules,
    });
    expect(area.frames.map((frame) => kernel.memory.nodeOf(frame))).toEqual([0, 1, 0, 1]);
    expect(kernel.vm.replicate(area)).toBe("replicated");
    expect(area.frames.every((frame) => kernel.memory.nodeOf(frame) === 0)).toBe(true);
    expect(findings(kernel)).toEqual([]);
    expect([kernel.vm.counters.pages(0), kernel.vm.counters.pages(1)]).toEqual([4, 4]);
    expect(kernel.allocator.usedFrames(0, "module")).toBe(4);
  });
});

describe("KASAN shadow", () => {
  test("is there on every node while an area is, and gone with its last user", () => {
    const kernel = boot([0, 1], [vmallocWith({ shadow: "kasan" })]);
    const shadow = (address: bigint): bigint => ((address >> 3n) + 0xdffffc0000000000n) & ~0xfffn;
    const make = (): VmArea =>
      kernel.vm.allocate({ bytes: 9 * 4096, placement: { node: 0 }, purpose: "module", ...modules });
    const [a, b] = [make(), make()];
    expect(b.start % 0x8000n).toBe(0n);
    for (const area of [a, b]) {
      for (let page = 0n; page < 9n; page++)
        for (const holder of [0, 1])
          expect(kernel.vm.toFrameOn(holder, shadow(area.start + page * 4096n))).not.toBe(NONE);
    }
    kernel.vm.free(a);
    expect(kernel.vm.toFrame(shadow(a.start))).toBe(NONE);
    expect(kernel.vm.toFrame(shadow(b.start))).not.toBe(NONE);
  });
});

describe("corners", () => {
  const place = { placement: { node: 0 }, purpose: "module" as const, ...modules };

  test("a copy that cannot lie on its holder is refused, not put elsewhere", () => {
    const kernel = boot([0, 1], [vmalloc], 64);
    const area = kernel.vm.allocate({ bytes: 4 * 4096, ...place });
    while (kernel.allocator.allocate(1, 0, { purpose: "data", thisNode: true }) !== NONE) {
      /* node 1 is used up */
    }
    expect(kernel.vm.replicate(area)).toBe("no-memory");
    expect(area.state).toBe("shared");
  });

  test("table pages that give out in the middle of an area leave no page of it mapped, nor any shadow", () => {
    for (let n = 1; n < 20; n++) {
      const kernel = boot([0, 1], [vmallocWith({ shadow: "kasan" })]);
      const at = modules.low + 0x1f_8000n; // eight pages before a 2 MiB border: two table pages a holder
      kernel.allocator.refuse(n, true);
      const code = codeOf(() => kernel.vm.allocate({ bytes: 16 * 4096, ...place, at }));
      kernel.allocator.refuse(0);
      if (code === "none") continue;
      for (const holder of [0, 1]) expect(kernel.tables.snapshot(holder)).toEqual([]);
      expect(kernel.allocator.usedFrames(0, "kernel") + kernel.allocator.usedFrames(1, "kernel")).toBe(0);
      expect(kernel.tables.tooEarly).toEqual([]);
    }
  });

  test("a guard page belongs to no area", () => {
    const { vm } = boot([0, 1]);
    const area = vm.allocate({ bytes: 4096, ...place });
    expect(vm.find(area.start + 4096n)).toBeUndefined();
    expect(vm.find(area.start + 4095n)).toBe(area);
  });

  test("more pages than the limit are not held back", () => {
    const kernel = boot([0], [vmallocWith({ cpus: 1 })]);
    const frames = new Array<number>(8192).fill(kernel.allocator.allocate(0, 0, { purpose: "data" }));
    const flushes = kernel.tables.flushes;
    kernel.vm.free(kernel.vm.map({ frames: frames.slice(1), purpose: "data" }));
    expect([kernel.tables.flushes - flushes, kernel.vm.counters.lazyPages]).toEqual([0, 8192]);
    kernel.vm.free(kernel.vm.map({ frames: frames.slice(0, 1), purpose: "data" }));
    expect([kernel.tables.flushes - flushes, kernel.vm.counters.lazyPages]).toEqual([1, 0]);
  });

  test("a shadow page two areas share stays until both are gone", () => {
    const kernel = boot([0, 1], [vmallocWith({ shadow: "kasan" })]);
    const [a, b] = [0n, 0x1000n].map((offset) =>
      kernel.vm.allocate({ bytes: 4096, ...place, noGuard: true, at: modules.low + offset }),
    );
    const shadow = (modules.low >> 3n) + 0xdffffc0000000000n;
    kernel.vm.free(a!);
    expect(kernel.vm.toFrameOn(1, shadow)).not.toBe(NONE);
    kernel.vm.free(b!);
    expect(kernel.vm.toFrameOn(1, shadow)).toBe(NONE);
  });
});
