/** Address spaces against a plain map of pages, on every PGD and half; where PGDs lie; who holds them. */
import type { Frame } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EAGER_PGDS, frameAt, HOME_PGDS, LAZY_PGDS, PGD_ORDER, type PgdPlan } from "../../src/api.js";
import { addressOfLeaf, eachLeaf, pagesOf } from "../../src/processes/leaves.js";
import { plannedHolders, stubMachine, testKernel, type TestKernel } from "../../src/testing.js";

const nodes = [
  { id: 0, memoryMiB: 64, cpus: 2 },
  { id: 1, memoryMiB: 64, cpus: 2 },
  { id: 2, memoryMiB: 64, cpus: 1 },
];
const PAGE = 4096n;
const LARGE = 0x20_0000n;
const BITS = { present: true, executable: false, global: false, user: true, cache: "wb", writable: true } as const;

const make = (plan: PgdPlan, holders: readonly number[], levels: 4 | 5 = 4, pti = true): TestKernel =>
  testKernel({ machine: stubMachine(nodes), levels, pti, master: holders[0]!, view: plannedHolders(plan, ...holders) });
const free = ({ machine, allocator }: TestKernel): number[] => machine.nodes.map((node) => allocator.freeFrames(node));

describe.each([
  [EAGER_PGDS, [0]],
  [EAGER_PGDS, [0, 1]],
  [LAZY_PGDS, [0, 1, 2]],
] as const)("%o on %j", (plan, holders) => {
  test.each([
    [4, false],
    [4, true],
    [5, true],
  ] as const)("%i levels, KPTI %s: what a map says, in every half of every PGD, whatever is refused", (levels, pti) => {
    // Four pages in each of two areas, of which one is beside a 2 MiB page, and one in a top-level slot of its own.
    const spots = [0x20_0000n, 0x40_0000n, levels === 5 ? 0x40_0000_0000_0000n : 0x6000_0000_0000n];
    const at = fc.record({ area: fc.nat(2), page: fc.constantFrom(0, 1, 511) });
    const node = fc.constantFrom(0, 1, 2);
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ op: fc.constant("set" as const), at, node, nth: fc.constantFrom(0, 0, 1, 2, 3) }),
      },
      { weight: 1, arbitrary: fc.record({ op: fc.constant("large" as const), at, node }) },
      { weight: 3, arbitrary: fc.record({ op: fc.constant("clear" as const), at, node }) },
      { weight: 2, arbitrary: fc.record({ op: fc.constant("trim" as const), at, node }) },
      {
        weight: 1,
        arbitrary: fc.record({ op: fc.constantFrom("split" as const, "enter" as const, "shrink" as const), at, node }),
      },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
        const kernel = make(plan, holders, levels, pti);
        const { spaces, allocator, entries } = kernel;
        const before = free(kernel);
        const space = spaces.create(holders[0])!;
        /** Address of each 4 KiB page that is mapped, and its frame. */
        const model = new Map<bigint, Frame>();
        /** Bases of 2 MiB that a large leaf maps. */
        const large = new Set<bigint>();
        let next = 0x10_0000;
        for (const each of steps) {
          const address = spots[each.at.area]! + BigInt(each.at.page) * PAGE;
          const base = address & ~(LARGE - 1n);
          const of = (start: bigint): bigint[] => Array.from({ length: 512 }, (_, page) => start + BigInt(page) * PAGE);
          if (each.op === "set" && !large.has(base)) {
            const frames = free(kernel);
            allocator.refuse(each.nth);
            const done = space.set(address, { ...BITS, level: 1, frame: ++next }, each.node);
            allocator.refuse(0);
            if (done) model.set(address, next);
            else expect(free(kernel)).toEqual(frames);
          } else if (each.op === "large" && of(base).every((page) => !model.has(page))) {
            // A table that is left behind stands in the way.
            for (const table of space.trim({ start: base, end: base + LARGE })) allocator.free(table, 0);
            next = (next + 1023) & ~511;
            if (space.set(base, { ...BITS, level: 2, frame: next }, each.node)) {
              of(base).forEach((page, i) => model.set(page, next + i));
              large.add(base);
            }
          } else if (each.op === "clear") {
            expect(space.clear(address) !== undefined).toBe(model.has(address));
            for (const page of large.delete(base) ? of(base) : [address]) model.delete(page);
          } else if (each.op === "trim") {
            for (const table of space.trim({ start: base, end: base + LARGE })) allocator.free(table, 0);
          } else if (each.op === "split" && large.has(base)) {
            if (space.splitLarge(address, each.node, () => undefined)) large.delete(base);
          } else if (each.op === "enter") space.enter(each.node);
          else if (each.op === "shrink") space.shrink(each.node);
          for (const pgdNode of space.pgdNodes) {
            for (let half = 0; half <= (pti ? 1 : 0); half++) {
              for (const spot of spots) {
                for (const page of [0n, 1n, 2n, 511n]) {
                  const there = spot + page * PAGE;
                  const found = frameAt(entries.memory, space.pgd(pgdNode) + half, levels, there);
                  if (found !== model.get(there))
                    throw new Error(
                      `node ${pgdNode}, half ${half}: 0x${there.toString(16)} leads to ${found}, not ${model.get(there)}`,
                    );
                }
              }
            }
          }
          const met: (readonly [bigint, Frame])[] = [];
          eachLeaf(space, { start: 0n, end: 1n << (levels === 5 ? 56n : 47n) }, (leaf) => {
            for (let page = 0; page < pagesOf(leaf); page++)
              met.push([addressOfLeaf(leaf) + BigInt(page) * PAGE, leaf.frame + page]);
          });
          const wanted = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
          if (
            met.length !== wanted.length ||
            met.some(([a, frame], i) => a !== wanted[i]![0] || frame !== wanted[i]![1])
          )
            throw new Error(`leaves of ${met.length} pages are met, and ${wanted.length} pages are mapped`);
        }
        space.free();
        expect(free(kernel)).toEqual(before);
      }),
      { numRuns: 40, seed: 5 },
    );
  });
});

test("leaves: one that begins before the pages asked for counts, the kernel's own never do, and a visit may end it", () => {
  const space = make(EAGER_PGDS, [0]).spaces.create(0)!;
  const last = 2 ** 35 - 1;
  expect(space.nextLeaf(0, 2 ** 36)).toBeUndefined();
  space.set(LARGE, { ...BITS, level: 2, frame: 1024 }, 0);
  space.set(2n * LARGE, { ...BITS, writable: false, present: false, level: 1, frame: 77 }, 0);
  const [large, small] = [space.nextLeaf(517, 518)!, space.nextLeaf(1024, last)!];
  expect([large.page, large.level, large.frame, large.writable]).toEqual([512, 2, 1024, true]);
  expect([small.page, small.level, small.frame, small.writable]).toEqual([1024, 1, 77, false]);
  expect(small.mapping).toEqual(space.lookup(2n * LARGE));
  expect(space.nextLeaf(0, 511)).toBeUndefined();
  expect(space.nextLeaf(1025, last)).toBeUndefined();
  const met: number[] = [];
  expect(eachLeaf(space, { start: 0n, end: 1n << 47n }, ({ page }) => met.push(page) < 1)).toBe(false);
  expect(met).toEqual([512]);
});

describe("where a PGD lies", () => {
  const where = (kernel: TestKernel, node: number): number[] => {
    const space = kernel.spaces.create(node)!;
    return space.pgdNodes.map((each) => kernel.entries.memory.nodeOf(space.pgd(each)));
  };

  test("one for all CPUs: where it is asked for, on the nearest node that has memory when that has none left", () => {
    for (const node of [0, 1, 2]) expect(where(make(EAGER_PGDS, [1]), node)).toEqual([node]);
    const kernel = make(EAGER_PGDS, [0]);
    while (kernel.allocator.allocate(2, 10, { purpose: "user", thisNode: true }) >= 0);
    for (let order = 9; order >= 0; order--)
      while (kernel.allocator.allocate(2, order, { purpose: "user", thisNode: true }) >= 0);
    expect(where(kernel, 2)).not.toContain(2);
  });

  test("one for each holder: on the holder, whoever asks; one for good: on the holder nearest to who asks", () => {
    for (const node of [0, 1, 2]) expect(where(make(EAGER_PGDS, [0, 2]), node)).toEqual([0, 2]);
    expect(where(make(HOME_PGDS, [0, 2]), 2)).toEqual([2]);
    expect(where(make(HOME_PGDS, [0, 2]), 1)).toEqual([0]);
    expect(where(make(LAZY_PGDS, [0, 2]), 2)).toEqual([2]);
  });

  test("asked for by nobody in particular: where the current CPU is", () => {
    const kernel = make(EAGER_PGDS, [0]);
    kernel.cpus.current = 4;
    expect(kernel.entries.memory.nodeOf(kernel.spaces.create()!.pgd(0))).toBe(2);
  });
});

test("a PGD goes with the last who holds it, tables below at once", () => {
  const kernel = make(EAGER_PGDS, [0, 1]);
  const before = free(kernel);
  const space = kernel.spaces.create(0)!;
  space.set(0x1000n, { ...BITS, level: 1, frame: 7 }, 0);
  const pgds = space.pgdNodes.map((node) => space.pgd(node));
  const owned = (): boolean[] => pgds.map((pgd) => kernel.allocator.owns(pgd, PGD_ORDER));
  space.hold();
  space.hold();
  space.free();
  expect(kernel.spaces.all.size).toBe(0);
  // Nothing of the process can be reached through what is held.
  for (const pgd of pgds)
    for (const half of [0, 1]) expect(frameAt(kernel.entries.memory, pgd + half, 4, 0x1000n)).toBeUndefined();
  space.release();
  expect(owned()).toEqual([true, true]);
  space.release();
  expect(owned()).toEqual([false, false]);
  expect(free(kernel)).toEqual(before);
  expect(() => {
    space.release();
  }).toThrow(/nobody holds it/);
  expect(() => {
    space.hold();
  }).toThrow(/after it was freed/);
  expect(() => {
    space.free();
  }).toThrow(/freed twice/);
});

test("a space that lacks memory for one holder's PGD gives back the others', whichever it is", () => {
  for (let nth = 1; nth <= 3; nth++) {
    const kernel = make(EAGER_PGDS, [0, 1, 2]);
    const before = free(kernel);
    kernel.allocator.refuse(nth);
    expect(kernel.spaces.create(1)).toBeUndefined();
    expect(free(kernel), `the ${nth}. PGD refused`).toEqual(before);
    expect(kernel.spaces.all.size).toBe(0);
  }
});

test("a 2 MiB leaf is split when it has been absent, and forgotten: one without access, at once", () => {
  for (const present of [true, false]) {
    const space = make(EAGER_PGDS, [0]).spaces.create(0)!;
    const leaf = { ...BITS, executable: true, present } as const;
    space.set(LARGE, { ...leaf, level: 2, frame: 1024 }, 0);
    const seen: unknown[] = [];
    expect(space.splitLarge(LARGE + PAGE, 0, () => seen.push(space.lookup(LARGE)))).toBe(true);
    expect(seen).toEqual(present ? [{ ...leaf, level: 2, frame: 1024, present: false }] : []);
    for (const page of [0, 1, 511])
      expect(space.lookup(LARGE + BigInt(page) * PAGE)).toEqual({ ...leaf, level: 1, frame: 1024 + page });
  }
});
