/** What each zone keeps back, in frames; and the free lists of a zone at their ends. */
import { describe, expect, test } from "vitest";
import { NONE } from "@kreplica/hw-x86/api";
import { BuddyZone, MAX_ORDER, Memblock, NodePageAllocator } from "../../src/index.js";
import { stubMachine, type StubNode } from "../../src/testing.js";

const data = { purpose: "data" } as const;
const started = (...nodes: readonly StubNode[]) => {
  const machine = stubMachine(nodes);
  const allocator = new NodePageAllocator(machine, new Memblock(machine));
  allocator.start();
  return { machine, allocator };
};
/** Frames left on a node when it gives no more to whoever asks so. */
const left = (allocator: NodePageAllocator, node: number, high: boolean): number => {
  const asked = { ...data, thisNode: true, high };
  for (const order of [10, 0]) while (allocator.allocate(node, order, asked) !== NONE);
  return allocator.freeFrames(node);
};

describe("watermarks", () => {
  test("are 4 * sqrt of all memory's KiB, half of it for whoever may dip; a zone keeps 1/256 of what lies above it too", () => {
    // 1 GiB is 1,023 frames, by size: 1,007 of the 258,048 from 16 MiB on, 15 of the 4,095 below, which keep a 256th of
    // what is above, 1,008.
    expect(left(started({ id: 0, memoryMiB: 1024, cpus: 1 }).allocator, 0, false)).toBe(1007 + 15 + 1008);
    // Halves are 503.5 and 7.5.
    expect(left(started({ id: 0, memoryMiB: 1024, cpus: 1 }).allocator, 0, true)).toBe(504 + 8 + 1008);
  });
  test("are no more than 1/64 of small machines, and shared by two nodes as they have memory", () => {
    // 2,047 frames: a 64th is 31; 4 * sqrt(8,188 KiB) would be 90.
    expect(left(started({ id: 0, memoryMiB: 8, cpus: 1 }).allocator, 0, false)).toBe(31);
    const { allocator } = started({ id: 0, memoryMiB: 16, cpus: 1 }, { id: 1, memoryMiB: 48, cpus: 1 });
    // A 64th of all is 255.98; a quarter is the first's.
    expect([left(allocator, 0, false), left(allocator, 1, false)]).toEqual([63, 191]);
  });
  test("are nothing's where there is no memory", () => {
    const { allocator } = started({ id: 0, memoryMiB: 0, cpus: 1 }, { id: 1, memoryMiB: 8, cpus: 1 });
    expect([allocator.freeFrames(0), allocator.freeFrames(1)]).toEqual([0, 2048]);
    expect(allocator.allocate(0, 0, { ...data, thisNode: true })).toBe(NONE);
    expect(allocator.allocate(0, 0, data)).not.toBe(NONE);
  });
  test("say nothing of who asks for a block that is just left", () => {
    const { allocator } = started({ id: 0, memoryMiB: 8, cpus: 1 });
    while (allocator.freeFrames(0) > 31 + 8) allocator.allocate(0, 0, data);
    expect(allocator.freeFrames(0)).toBe(39);
    // Memory went out in ascending order: the last 32 frames are a block.
    expect([allocator.allocate(0, 4, data), allocator.allocate(0, 3, data)]).toEqual([NONE, 2016]);
    expect(allocator.freeFrames(0)).toBe(31);
  });
});

describe("a zone's lists", () => {
  const taken = (zone: BuddyZone, order: number): number[] => {
    const all: number[] = [];
    for (let block = zone.take(order); block !== NONE; block = zone.take(order)) all.push(block);
    return all;
  };
  test("have ragged ends in the largest blocks that fit, whole runs untouched; what is taken lies on its size", () => {
    const zone = new BuddyZone();
    zone.add(1000, 3120);
    expect(zone.freeFrames).toBe(3120);
    // 1000 is 8 * 125, then 1008, and from 1024 on whole blocks of 1024 to 4096; the end is 16 + 8.
    expect(taken(zone, 10)).toEqual([1024, 2048, 3072]);
    expect([taken(zone, 5), taken(zone, 4), taken(zone, 3)]).toEqual([[], expect.any(Array), expect.any(Array)]);
    expect(zone.freeFrames).toBe(0);
  });
  test("merge what is given back with its other half only, up to 2^10", () => {
    const zone = new BuddyZone();
    zone.add(0, 2048);
    const [low, high] = [zone.take(MAX_ORDER), zone.take(MAX_ORDER)];
    expect([low, high, zone.take(0)]).toEqual([0, 1024, NONE]);
    for (let frame = 0; frame < 2048; frame += 2) zone.give(frame, 0);
    expect(zone.take(1)).toBe(NONE);
    for (let frame = 1; frame < 2048; frame += 2) zone.give(frame, 0);
    expect(taken(zone, MAX_ORDER).sort((a, b) => a - b)).toEqual([0, 1024]);
    // The lower half of one and the upper of the next are no pair.
    zone.give(2, 1);
    zone.give(4, 1);
    expect(zone.take(2)).toBe(NONE);
    zone.give(6, 1);
    expect(zone.take(2)).toBe(4);
  });
  test("say what is free to the frame, in blocks and in runs, and give out just that one", () => {
    const zone = new BuddyZone();
    zone.add(8, 5);
    zone.add(4096, 2048);
    const free = (frames: readonly number[]): boolean[] => frames.map((frame) => zone.contains(frame));
    expect(free([7, 8, 12, 13, 4095, 4096, 6143, 6144])).toEqual([false, true, true, false, false, true, true, false]);
    expect([zone.claim(7), zone.claim(13), zone.claim(4095), zone.claim(6144)]).toEqual([false, false, false, false]);
    expect([zone.claim(9), zone.claim(9), zone.claim(4100), zone.claim(4100), zone.claim(6143)]).toEqual([
      true,
      false,
      true,
      false,
      true,
    ]);
    expect(free([8, 9, 10, 4099, 4100, 4101, 5119, 5120, 6142, 6143])).toEqual([
      true,
      false,
      true,
      true,
      false,
      true,
      true,
      true,
      true,
      false,
    ]);
    expect(zone.freeFrames).toBe(5 + 2048 - 3);
    for (const frame of [9, 4100, 6143]) zone.give(frame, 0);
    expect([...taken(zone, MAX_ORDER)].sort((a, b) => a - b)).toEqual([4096, 5120]);
    expect(zone.freeFrames).toBe(5);
  });
  test("part with a range for good where all of it is free, whatever blocks and runs it cuts", () => {
    for (const [first, frames] of [
      [0, 1],
      [1023, 2],
      [512, 1024],
      [1024, 2048],
      [3071, 1],
      [0, 3072],
    ] as const) {
      const zone = new BuddyZone();
      zone.add(0, 3072);
      zone.give(zone.take(0), 0);
      expect(zone.remove(first, frames), `${first}`).toBe(true);
      expect(zone.freeFrames).toBe(3072 - frames);
      for (const frame of [first - 1, first, first + frames - 1, first + frames])
        expect(zone.contains(frame), `${frame} of ${first}`).toBe(
          frame >= 0 && frame < 3072 && (frame < first || frame >= first + frames),
        );
      expect([zone.remove(first, frames), zone.freeFrames]).toEqual([false, 3072 - frames]);
      expect(taken(zone, 0).length).toBe(3072 - frames);
    }
    const zone = new BuddyZone();
    zone.add(16, 16);
    expect([zone.remove(15, 2), zone.remove(31, 2), zone.remove(40, 1), zone.freeFrames]).toEqual([
      false,
      false,
      false,
      16,
    ]);
  });
});
