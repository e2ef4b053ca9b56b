/** The page allocator: who serves whom, in which order, and what a refusal leaves behind. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NONE } from "@kreplica/hw-x86/api";
import { Memblock, NodePageAllocator } from "../../src/index.js";
import { type StubNode, stubMachine } from "../../src/testing.js";

const kernel = (nodes: readonly StubNode[], distance?: number[][]) => {
  const machine = stubMachine(nodes, distance);
  const early = new Memblock(machine);
  return { machine, early, allocator: new NodePageAllocator(machine, early) };
};
const three = [0, 1, 2].map((id) => ({ id, memoryMiB: 8, cpus: 1 }));
const table = { purpose: "page-table" } as const;

describe("memblock", () => {
  test("gives the top of the node, aligned, and what is left on the nearest other when it may", () => {
    const { early, machine } = kernel(three, [
      [10, 30, 20],
      [30, 10, 20],
      [20, 20, 10],
    ]);
    const first = early.allocate(0, 512, 512, "text");
    expect([first, first % 512]).toEqual([1536, 0]);
    expect(early.allocate(0, 2048, 1, "text", true)).toBe(NONE);
    expect(machine.memory.nodeOf(early.allocate(0, 2048, 1, "text"))).toBe(2);
    expect([early.usedFrames(0, "text"), early.usedFrames(2, "text")]).toEqual([512, 2048]);
    expect(early.freeFrames(0)).toBe(2048 - 1 - 512);
  });

  test("reserve, release and hand-over lose and invent no frame", () => {
    const op = fc.record({
      kind: fc.constantFrom("allocate", "reserve", "release"),
      frames: fc.integer({ min: 1, max: 300 }),
      at: fc.nat(2047),
      align: fc.constantFrom(1, 2, 512),
      node: fc.nat(2),
    });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60, size: "max" }), (ops) => {
        const { early, machine } = kernel(three);
        const free = new Set<number>();
        for (const range of machine.memory.ranges)
          for (let frame = range.first; frame < range.first + range.frames; frame++) if (frame !== 0) free.add(frame);
        const taken: [number, number][] = [];
        for (const { kind, frames, at, align, node } of ops) {
          if (kind === "allocate") {
            const first = early.allocate(node, frames, align, "kernel", true);
            if (first === NONE) continue;
            expect(first % align).toBe(0);
            for (let frame = first; frame < first + frames; frame++) expect(free.delete(frame)).toBe(true);
            taken.push([first, frames]);
          } else if (kind === "reserve") {
            early.reserve(node * 262144 + at, frames);
            for (let frame = node * 262144 + at; frame < node * 262144 + at + frames; frame++) free.delete(frame);
          } else if (taken.length > 0) {
            // Only what reserve did not take on top may be given back; taken runs are never reserved twice here.
            const [[first, count]] = taken.splice(at % taken.length, 1) as [[number, number]];
            early.release(first, count, "kernel");
            for (let frame = first; frame < first + count; frame++) free.add(frame);
          }
        }
        const rest = early.handOver();
        expect(rest.reduce((sum, run) => sum + run.frames, 0)).toBe(free.size);
        for (const run of rest)
          for (let frame = run.first; frame < run.first + run.frames; frame++) expect(free.has(frame)).toBe(true);
        for (let index = 1; index < rest.length; index++)
          expect(rest[index]!.first).toBeGreaterThanOrEqual(rest[index - 1]!.first + rest[index - 1]!.frames);
      }),
      { numRuns: 60, seed: 11 },
    );
  });
});

describe("fallback", () => {
  test("goes by distance, and among equals to the node behind this one first", () => {
    const { allocator, machine } = kernel(three, [
      [10, 20, 20],
      [20, 10, 20],
      [20, 20, 10],
    ]);
    allocator.start();
    const order: number[] = [];
    for (let frame = allocator.allocate(1, 0, table); frame !== NONE; frame = allocator.allocate(1, 0, table)) {
      const node = machine.memory.nodeOf(frame);
      if (order.at(-1) !== node) order.push(node);
    }
    expect(order).toEqual([1, 2, 0]);
  });

  test("__GFP_THISNODE never leaves the node, and is refused when it is full", () => {
    const { allocator, machine } = kernel(three);
    allocator.start();
    let count = 0;
    for (
      let frame = allocator.allocate(1, 0, { ...table, thisNode: true });
      frame !== NONE;
      frame = allocator.allocate(1, 0, { ...table, thisNode: true })
    ) {
      expect(machine.memory.nodeOf(frame)).toBe(1);
      count++;
    }
    expect(count).toBeGreaterThan(1900);
    expect(allocator.freeFrames(0)).toBe(2047);
  });

  test("the reserve is for those who may dip into it", () => {
    const { allocator } = kernel([{ id: 0, memoryMiB: 64, cpus: 1 }]);
    allocator.start();
    while (allocator.allocate(0, 0, table) !== NONE);
    const left = allocator.freeFrames(0);
    expect(left).toBeGreaterThan(10);
    let more = 0;
    while (allocator.allocate(0, 0, { ...table, high: true }) !== NONE) more++;
    expect(more).toBeGreaterThan(left / 3);
    expect(allocator.freeFrames(0)).toBeGreaterThan(0);
  });

  test("low zones are served last: memory above 4 GiB first, below 16 MiB only when nothing else is left", () => {
    const { allocator } = kernel([{ id: 0, memoryMiB: 5 * 1024, cpus: 1 }]);
    allocator.start();
    expect(allocator.allocate(0, 0, table)).toBe(0x10_0000);
    let last = 0x10_0000;
    let lowest = last;
    for (let frame = allocator.allocate(0, 10, table); frame !== NONE; frame = allocator.allocate(0, 10, table)) {
      last = frame;
      lowest = Math.min(lowest, frame);
    }
    expect(lowest).toBeLessThan(0x10_0000);
    expect(last).toBeGreaterThanOrEqual(0);
    expect(allocator.freeFrames(0)).toBeGreaterThan(1024);
  });
});

test("accounts by node and purpose go up and down with what is given out", () => {
  const { allocator } = kernel(three);
  const early = allocator.allocate(2, 0, { purpose: "user" });
  allocator.start();
  const late = allocator.allocate(2, 3, { purpose: "user" });
  expect(allocator.usedFrames(2, "user")).toBe(9);
  allocator.free(early, 0);
  allocator.free(late, 3);
  expect(allocator.usedFrames(2, "user")).toBe(0);
  expect(() => allocator.free(late, 3)).toThrow(/is not an allocation/);
  expect(() => allocator.free(allocator.allocate(2, 1, table), 0)).toThrow(/is not an allocation/);
});

test("the n-th allocation is refused, once or from then on, and only what is asked counts", () => {
  const { allocator } = kernel(three);
  allocator.start();
  allocator.refuse(3);
  const got = Array.from({ length: 5 }, () => allocator.allocate(0, 0, table) === NONE);
  expect(got).toEqual([false, false, true, false, false]);
  allocator.refuse(2, true);
  expect(Array.from({ length: 4 }, () => allocator.allocate(0, 0, table) === NONE)).toEqual([false, true, true, true]);
  allocator.refuse(0);
  expect(allocator.allocate(0, 0, table)).not.toBe(NONE);
  expect(allocator.requests).toBe(10);
});

test("a claimed frame is taken out, and comes back as any other", () => {
  const { allocator } = kernel(three);
  allocator.start();
  expect(allocator.claim(700, "data")).toBe(true);
  expect(allocator.claim(700, "data")).toBe(false);
  expect(allocator.usedFrames(0, "data")).toBe(1);
  const before = allocator.freeFrames(0);
  allocator.free(700, 0);
  expect(allocator.freeFrames(0)).toBe(before + 1);
  expect(allocator.claim(5_000_000, "data")).toBe(false);
});

test("a zeroed frame is zero, whatever was in it", () => {
  const { allocator, machine } = kernel(three);
  allocator.start();
  const frame = allocator.allocate(0, 0, table);
  machine.memory.write32(frame, 5, 7);
  allocator.free(frame, 0);
  expect(allocator.allocate(0, 0, { ...table, zero: true })).toBe(frame);
  expect(machine.memory.read32(frame, 5)).toBe(0);
});

test("what a frame was handed out for, whatever its place in the block; free while it is in the lists, nothing for what never was there", () => {
  const { allocator, early } = kernel(three);
  early.reserve(64, 8);
  const before = allocator.allocate(0, 0, { purpose: "kernel" });
  expect(allocator.purposeOf(before)).toBe("kernel");
  const boots = early.allocate(0, 1, 1, "data");
  allocator.start();
  expect([
    allocator.purposeOf(64),
    allocator.purposeOf(71),
    allocator.purposeOf(boots),
    allocator.purposeOf(1 << 30),
  ]).toEqual([undefined, undefined, undefined, undefined]);
  expect(allocator.purposeOf(72)).toBe("free");
  const pair = allocator.allocate(0, 1, { purpose: "page-table" });
  expect([pair, pair + 1].map((frame) => allocator.purposeOf(frame))).toEqual(["page-table", "page-table"]);
  const block = allocator.allocate(0, 3, { purpose: "user" });
  expect(allocator.purposeOf(block + 7)).toBe("user");
  allocator.split(block, 3);
  allocator.free(block + 5, 0);
  expect([4, 5, 6].map((each) => allocator.purposeOf(block + each))).toEqual(["user", "free", "user"]);
  allocator.free(pair, 1);
  expect([pair, pair + 1].map((frame) => allocator.purposeOf(frame))).toEqual(["free", "free"]);
});
