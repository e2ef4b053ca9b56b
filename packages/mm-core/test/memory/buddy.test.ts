/** The buddy lists against a set of free frames. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BuddyZone } from "../../src/memory/buddy.js";

const FIRST = 1000;
const FRAMES = 3000;

/** Whether a free, aligned run of 2^order frames exists: with eager merging this is when an allocation must succeed. */
const fits = (free: Set<number>, order: number): boolean => {
  const size = 1 << order;
  for (let base = Math.ceil(FIRST / size) * size; base + size <= FIRST + FRAMES; base += size) {
    let all = true;
    for (let frame = base; all && frame < base + size; frame++) all = free.has(frame);
    if (all) return true;
  }
  return false;
};

test("every block given out was free, is aligned, and one is given out whenever one exists", () => {
  const step = fc.record({
    op: fc.constantFrom("take", "take", "give", "claim"),
    order: fc.integer({ min: 0, max: 10 }),
    pick: fc.nat(5000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const zone = new BuddyZone();
      zone.add(FIRST, FRAMES);
      const free = new Set(Array.from({ length: FRAMES }, (_, index) => FIRST + index));
      const taken: [number, number][] = [];
      for (const { op, order, pick } of steps) {
        if (op === "take") {
          const block = zone.take(order);
          expect(block >= 0).toBe(fits(free, order));
          if (block < 0) continue;
          expect(block % (1 << order)).toBe(0);
          for (let frame = block; frame < block + (1 << order); frame++) expect(free.delete(frame)).toBe(true);
          taken.push([block, order]);
        } else if (op === "give" && taken.length > 0) {
          const [[block, size]] = taken.splice(pick % taken.length, 1) as [[number, number]];
          zone.give(block, size);
          for (let frame = block; frame < block + (1 << size); frame++) free.add(frame);
        } else if (op === "claim") {
          const frame = FIRST - 10 + (pick % (FRAMES + 20));
          expect(zone.claim(frame)).toBe(free.delete(frame));
          if (
            frame >= FIRST &&
            frame < FIRST + FRAMES &&
            !taken.some(([block, size]) => frame >= block && frame < block + (1 << size))
          )
            taken.push([frame, 0]);
        }
        expect(zone.freeFrames).toBe(free.size);
      }
    }),
    { numRuns: 60, seed: 3 },
  );
});

test("untouched memory is served in ascending order and costs nothing", () => {
  const zone = new BuddyZone();
  zone.add(0, 2 ** 30);
  expect([zone.take(10), zone.take(10), zone.take(0), zone.take(0)]).toEqual([0, 1024, 2048, 2049]);
  expect(zone.freeFrames).toBe(2 ** 30 - 2050);
});

test("frames go out of blocks and of untouched runs, the rest of both stays; not when one is out", () => {
  const zone = new BuddyZone();
  zone.add(1000, 6000);
  const out = zone.take(0);
  expect(zone.remove(1000, 6000)).toBe(false);
  expect(zone.freeFrames).toBe(5999);
  zone.give(out, 0);
  // Ends in the middle of a listed block and of a run of whole ones.
  expect(zone.remove(1010, 3000)).toBe(true);
  expect(zone.freeFrames).toBe(3000);
  expect([1009, 1010, 2048, 4009, 4010, 6999].map((frame) => zone.contains(frame))).toEqual([
    true,
    false,
    false,
    false,
    true,
    true,
  ]);
  const left = new Set<number>();
  for (let frame = zone.take(0); frame >= 0; frame = zone.take(0)) left.add(frame);
  expect(left.size).toBe(3000);
  expect([...left].some((frame) => frame >= 1010 && frame < 4010)).toBe(false);
  expect(zone.remove(1010, 1)).toBe(false);
  zone.add(1010, 3000);
  expect(zone.remove(1010, 3000)).toBe(true);
  expect(zone.freeFrames).toBe(0);
});
