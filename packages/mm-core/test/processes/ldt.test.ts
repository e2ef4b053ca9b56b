/**
 * Local descriptor tables: whose pages they are, what a change, a child, a new program and the end do to them,
 * whichever allocation is refused.
 */
import { addressOfFrame, type Frame } from "@kreplica/hw-x86/api";
import { describe, expect, test } from "vitest";
import {
  type AddressSpace,
  EAGER_PGDS,
  frameAt,
  LAZY_PGDS,
  LDT_PAGES,
  ldtAddress,
  type Process,
  walk,
} from "../../src/api.js";
import { type KeepingCpu, keepingMachine, plannedHolders, testKernel, type TestKernel } from "../../src/testing.js";

const nodes = [
  { id: 0, memoryMiB: 64, cpus: 2 },
  { id: 1, memoryMiB: 64, cpus: 2 },
];

interface Booted extends TestKernel {
  readonly process: Process;
  free(): number[];
  pages(space: AddressSpace): readonly (readonly (readonly [number, Frame])[])[];
}

function booted(levels: 4 | 5, pti: boolean, plan = EAGER_PGDS, ...holders: number[]): Booted {
  const kernel = testKernel({
    machine: keepingMachine(nodes, levels),
    levels,
    pti,
    view: plannedHolders(plan, ...(holders.length > 0 ? holders : [0, 1])),
  });
  for (const cpu of kernel.machine.cpuIds) kernel.cpus.bringUp(cpu);
  const process = kernel.processes.spawn(0)!;
  kernel.processes.run(process, 0);
  return {
    ...kernel,
    process,
    free: () => kernel.machine.nodes.map((node) => kernel.allocator.freeFrames(node)),
    // What each half of each PGD leads to in the LDT's slot: place * 16 + page, and the frame.
    pages: (space) =>
      space.pgdNodes.flatMap((node) =>
        [0, 1].map((half) =>
          Array.from({ length: 2 * LDT_PAGES }, (_, page) => page).flatMap((page) => {
            const frame = frameAt(
              kernel.entries.memory,
              space.pgd(node) + half,
              levels,
              ldtAddress(levels, 0) + BigInt(page) * 4096n,
            );
            return frame === undefined ? [] : [[page, frame] as const];
          }),
        ),
      ),
  };
}
const read = ({ machine }: TestKernel, { ldt }: Process, entry: number): bigint =>
  machine.memory.read64(addressOfFrame(ldt!.frames[entry >> 9]!) + BigInt((entry & 511) * 8));

test("where the slot is", () => {
  expect([ldtAddress(4, 0), ldtAddress(4, 1), ldtAddress(5, 0)]).toEqual([
    0xffff_8800_0000_0000n,
    0xffff_8800_0001_0000n,
    0xff10_0000_0000_0000n,
  ]);
});

describe.each([4, 5] as const)("%i levels", (levels) => {
  test("pages of its own, read-only and the kernel's, in every half of every PGD, with what was set in them", () => {
    const kernel = booted(levels, true);
    const { process, processes, allocator, entries, layout, image } = kernel;
    expect(processes.modifyLdt(process, 513, 0x1234_5678_9abc_def0n, 0)).toBe(true);
    const frames = process.ldt!.frames;
    expect(frames).toHaveLength(2);
    expect(read(kernel, process, 513)).toBe(0x1234_5678_9abc_def0n);
    expect([read(kernel, process, 0), read(kernel, process, 512)]).toEqual([0n, 0n]);
    for (const frame of frames) {
      expect(allocator.owns(frame, 0)).toBe(true);
      expect(
        frame < Number(layout.imagePhysical >> 12n) ||
          frame >= Number((layout.imagePhysical + image.end - image.stext) >> 12n),
      ).toBe(true);
    }
    expect(kernel.pages(process.space)).toEqual(
      Array.from({ length: 4 }, () => frames.map((frame, page) => [page, frame])),
    );
    for (const node of process.space.pgdNodes) {
      for (const half of [0, 1]) {
        const { lo, hi } = walk(entries.memory, process.space.pgd(node) + half, levels, ldtAddress(levels, 0));
        // P, neither W nor U nor G, NX.
        expect([lo & 0x107, hi >>> 31]).toEqual([1, 1]);
      }
    }
  });

  test("a change is a new table at the other place with all that was set, and no CPU goes on with the old one", () => {
    const kernel = booted(levels, true);
    const { process, processes, machine, allocator } = kernel;
    processes.run(process, 2);
    const cpus = [0, 2].map((cpu) => machine.cpu(cpu));
    for (let nth = 0; nth < 4; nth++) {
      const old = process.ldt;
      expect(processes.modifyLdt(process, nth, BigInt(100 + nth), 0)).toBe(true);
      const { place, frames, entries } = process.ldt!;
      expect([place, entries]).toEqual([nth % 2, nth + 1]);
      for (let entry = 0; entry <= nth; entry++) expect(read(kernel, process, entry)).toBe(BigInt(100 + entry));
      expect(kernel.pages(process.space)).toEqual(Array.from({ length: 4 }, () => [[place * LDT_PAGES, frames[0]]]));
      for (const frame of old?.frames ?? []) expect(allocator.owns(frame, 0)).toBe(false);
      for (const each of [0, 1] as const) {
        const at = ldtAddress(levels, each);
        for (const cpu of cpus as KeepingCpu[]) {
          expect(cpu.load(Number(at & 0xffff_ffffn), Number(at >> 32n)) === 0).toBe(each === place);
          if (each === place) expect(cpu.lastFrame).toBe(frames[0]);
        }
      }
    }
    processes.modifyLdt(process, 8191, 7n, 0);
    expect(process.ldt!.frames).toHaveLength(LDT_PAGES);
    expect(processes.modifyLdt(process, 3, 8n, 0)).toBe(true);
    expect([process.ldt!.entries, read(kernel, process, 8191), read(kernel, process, 3)]).toEqual([8192, 7n, 8n]);
    for (const none of [-1, 8192]) expect(processes.modifyLdt(process, none, 1n, 0)).toBe(false);
  });

  test.each([true, false])(
    "KPTI %s: a child has a copy of its own, a new program none, and the end gives all back",
    (pti) => {
      const kernel = booted(levels, pti);
      const { process, processes } = kernel;
      const before = kernel.free();
      processes.modifyLdt(process, 600, 42n, 0);
      const child = processes.fork(process, 2)!;
      expect(read(kernel, child, 600)).toBe(42n);
      expect(child.ldt!.frames.some((frame) => process.ldt!.frames.includes(frame))).toBe(false);
      processes.modifyLdt(process, 600, 43n, 0);
      expect([read(kernel, child, 600), read(kernel, process, 600)]).toEqual([42n, 43n]);
      expect(kernel.pages(child.space)[3]!.map(([, frame]) => frame)).toEqual(pti ? child.ldt!.frames : []);
      processes.exec(child, 2);
      expect(child.ldt).toBeUndefined();
      expect(kernel.pages(child.space).flat()).toEqual([]);
      processes.exit(child);
      processes.modifyLdt(process, 0, 44n, 0);
      processes.exec(process, 0);
      expect(kernel.free()).toEqual(before);
    },
  );
});

/** What a CPU finds; without KPTI in the pages that LDTR leads to, for this kernel has no direct map. */
function segment({ switcher, machine, layout, processes }: TestKernel, cpu: number, entry: number): unknown {
  const ldt = switcher.ldt(cpu);
  if (layout.pti || !ldt || entry >= ldt.entries) return processes.loadSegment(cpu, entry);
  return machine.memory.read64(addressOfFrame(ldt.frames[0]!) + BigInt(entry * 8));
}

describe.each([true, false])("KPTI %s: LDTR", (pti) => {
  test("is loaded by every CPU that has the space, lazily too, before the old table goes; by others when they switch", () => {
    const kernel = booted(4, pti);
    const { process, processes, switcher, allocator } = kernel;
    const other = processes.spawn(1)!;
    processes.run(process, 2);
    switcher.idle(2);
    processes.run(other, 1);
    expect([0, 1, 2].map((cpu) => segment(kernel, cpu, 0))).toEqual(["beyond", "beyond", "beyond"]);
    processes.modifyLdt(process, 0, 5n, 0);
    const free = allocator.free.bind(allocator);
    const had: unknown[] = [];
    allocator.free = (frame, order) => {
      had.push([0, 1, 2].map((cpu) => segment(kernel, cpu, 0)));
      free(frame, order);
    };
    processes.modifyLdt(process, 0, 6n, 0);
    allocator.free = free;
    expect(had).toEqual([[6n, "beyond", 6n]]);
    // A thread that comes back from a kernel thread loads nothing: it has it.
    processes.run(process, 2);
    processes.run(process, 1);
    expect([1, 2].map((cpu) => segment(kernel, cpu, 0))).toEqual([6n, 6n]);
    expect(segment(kernel, 2, 1)).toBe("beyond");
  });

  test("has a child's own for the child, nothing for a new program, nothing under the firmware", () => {
    const kernel = booted(4, pti);
    const { process, processes, switcher, view } = kernel;
    processes.modifyLdt(process, 1, 5n, 0);
    const child = processes.fork(process, 0)!;
    processes.run(child, 2);
    processes.modifyLdt(process, 1, 6n, 0);
    expect([0, 2].map((cpu) => segment(kernel, cpu, 1))).toEqual([6n, 5n]);
    const tables = { name: "test", root: (node: number) => view.kernelRoot(node) };
    switcher.enterTemporary(0, tables);
    expect(switcher.ldt(0)).toBeUndefined();
    // Changed by another thread meanwhile: no interrupt for it comes here.
    processes.modifyLdt(process, 1, 7n, 1);
    expect(switcher.ldt(0)).toBeUndefined();
    switcher.leaveTemporary(0);
    expect(segment(kernel, 0, 1)).toBe(7n);
    processes.exec(process, 0);
    expect(segment(kernel, 0, 1)).toBe("beyond");
    processes.exit(child);
    expect(switcher.ldt(2)).toBeUndefined();
  });

  test("with a place that is not mapped: the CPU faults", () => {
    const kernel = booted(4, pti);
    const { process, processes } = kernel;
    processes.modifyLdt(process, 0, 5n, 0);
    // Without KPTI it is in the direct map, which this kernel has none of.
    process.space.unmapLdt(process.ldt!.place);
    expect(processes.loadSegment(0, 0)).toBe("fault");
  });
});

test("pages and tables lie where the caller runs, a PGD that comes later has the slot too", () => {
  const kernel = booted(4, true, LAZY_PGDS);
  const { process, processes, entries } = kernel;
  processes.modifyLdt(process, 0, 1n, 2);
  expect(process.space.pgdNodes).toEqual([0]);
  expect(entries.memory.nodeOf(process.ldt!.frames[0]!)).toBe(1);
  for (let table = process.space.pgd(0), level = 4; level > 1; level--) {
    table = entries.low(table, level === 4 ? 272 : 0) >>> 12;
    expect(entries.memory.nodeOf(table)).toBe(1);
  }
  processes.run(process, 2);
  expect(process.space.pgdNodes).toEqual([0, 1]);
  expect(new Set(kernel.pages(process.space).map((half) => JSON.stringify(half))).size).toBe(1);
});

test.each([true, false])(
  "KPTI %s: whichever allocation is refused, alone or with all that follow, nothing is changed",
  (pti) => {
    const first = (kernel: Booted): boolean => kernel.processes.modifyLdt(kernel.process, 1024, 5n, 0);
    const again = (kernel: Booted): boolean => kernel.processes.modifyLdt(kernel.process, 2048, 6n, 0);
    const fork = (kernel: Booted): boolean => kernel.processes.fork(kernel.process, 0) !== undefined;
    for (const [setup, wanted] of [
      [[], first],
      [[first], again],
      [[first], fork],
    ] as const) {
      for (const repeat of [false, true]) {
        let refused = 0;
        for (let nth = 1; ; nth++) {
          const kernel = booted(4, pti);
          const { process, processes, allocator, spaces } = kernel;
          processes.mmap(process, { start: 0x1000_0000n, pages: 1 }, {}, 0);
          expect(processes.access(0, 0x1000_0000n, "write", 1)).toBe("ok");
          for (const each of setup) expect(each(kernel)).toBe(true);
          const before = [kernel.free(), process.ldt, kernel.pages(process.space), spaces.all.size];
          const { requests } = allocator;
          allocator.refuse(nth, repeat);
          const done = wanted(kernel);
          allocator.refuse(0);
          if (allocator.requests - requests < nth) {
            expect(done).toBe(true);
            break;
          }
          expect(done, `allocation ${nth}`).toBe(false);
          expect([kernel.free(), process.ldt, kernel.pages(process.space), spaces.all.size]).toEqual(before);
          refused++;
        }
        // Three pages or more; with KPTI three tables, where there are none yet.
        expect(refused).toBeGreaterThanOrEqual(3 + (pti && wanted !== again ? 3 : 0));
      }
    }
  },
);
