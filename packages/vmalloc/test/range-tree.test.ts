/** Ordered ranges and gaps against plain arrays. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AddressSpace } from "../src/address-space.js";
import { RangeTree } from "../src/range-tree.js";

const unit = 4096n;

describe("RangeTree", () => {
  const step = fc.record({
    op: fc.constantFrom("insert", "insert", "remove", "fit", "find"),
    at: fc.nat(40),
    length: fc.integer({ min: 1, max: 6 }),
    align: fc.nat(3),
    low: fc.nat(40),
    span: fc.nat(45),
  });

  test("agrees with an array of ranges, step by step", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
        const tree = new RangeTree<number>();
        let truth: { start: bigint; end: bigint; value: number }[] = [];
        steps.forEach(({ op, at, length, align, low, span }, i) => {
          const start = BigInt(at) * unit;
          const end = start + BigInt(length) * unit;
          if (op === "insert") {
            if (truth.some((range) => range.start < end && start < range.end))
              expect(() => tree.insert({ start, end }, i)).toThrow("overlaps");
            else {
              tree.insert({ start, end }, i);
              truth = [...truth, { start, end, value: i }].sort((a, b) => (a.start < b.start ? -1 : 1));
            }
          } else if (op === "remove") {
            expect(tree.remove(start)).toEqual(truth.find((range) => range.start === start));
            truth = truth.filter((range) => range.start !== start);
          } else if (op === "find") {
            const inside = start + unit / 2n;
            expect(tree.containing(inside)).toEqual(truth.find((range) => range.start <= inside && inside < range.end));
            expect(tree.floor(inside)).toEqual(truth.filter((range) => range.start <= inside).at(-1));
          } else {
            const [from, to, by] = [BigInt(low) * unit, BigInt(low + span) * unit, unit << BigInt(align)];
            let fit: bigint | undefined;
            for (let address = 0n; address < 64n * unit && fit === undefined; address += by) {
              const behind = address + BigInt(length) * unit;
              if (
                address >= from &&
                behind <= to &&
                truth.some((range) => range.start <= address && behind <= range.end)
              )
                fit = address;
            }
            expect(tree.lowestFit(BigInt(length) * unit, by, { start: from, end: to })).toBe(fit);
          }
          expect([...tree]).toEqual(truth);
          expect(tree.size).toBe(truth.length);
          expect(tree.longest).toBe(
            truth.reduce((most, range) => (range.end - range.start > most ? range.end - range.start : most), 0n),
          );
          expect(tree.height).toBeLessThanOrEqual(1.45 * Math.log2(truth.length + 2));
        });
      }),
      { numRuns: 200 },
    );
  });
});

test.each<[string, (nth: number) => number]>([
  ["ascending", (nth) => nth],
  ["descending", (nth) => -nth],
  ["from both ends", (nth) => (nth % 2 === 0 ? nth : -nth)],
  ["towards the middle", (nth) => (nth % 2 === 0 ? nth - 400 : 400 - nth)],
])(
  "ranges that come %s, and go in that order, leave no path longer than is promised, and none than is said",
  (_, at) => {
    interface Branch {
      readonly left: Branch | undefined;
      readonly right: Branch | undefined;
    }
    const tree = new RangeTree<number>();
    const longestPath = (node: Branch | undefined): number =>
      node ? 1 + Math.max(longestPath(node.left), longestPath(node.right)) : 0;
    const look = (): void => {
      const path = longestPath((tree as unknown as { readonly root: Branch | undefined }).root);
      expect(path).toBeLessThanOrEqual(1.45 * Math.log2(tree.size + 2));
      expect(tree.height).toBe(path);
    };
    const starts = Array.from({ length: 400 }, (_, nth) => BigInt(at(nth)) * unit);
    starts.forEach((start, nth) => {
      tree.insert({ start, end: start + unit }, nth);
      if (nth % 16 === 0) look();
    });
    starts.forEach((start, nth) => {
      expect(tree.remove(start)?.value).toBe(nth);
      if (nth % 16 === 0) look();
    });
  },
);

describe("AddressSpace", () => {
  test("gives back what it took, and touching gaps are one again", () => {
    const step = fc.record({
      op: fc.constantFrom("take", "at", "give"),
      pages: fc.integer({ min: 1, max: 5 }),
      at: fc.nat(31),
      align: fc.nat(2),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => {
        // Two regions, so that a merge across them would show.
        const space = new AddressSpace([
          { start: 0n, end: 16n * unit },
          { start: 16n * unit, end: 32n * unit },
        ]);
        const used = new Array<boolean>(32).fill(false);
        const taken: [number, number][] = [];
        const take = (at: number, pages: number): void => {
          used.fill(true, at, at + pages);
          taken.push([at, pages]);
        };
        const fits = (at: number, pages: number): boolean =>
          at + pages <= (at < 16 ? 16 : 32) && !used.slice(at, at + pages).includes(true);
        for (const { op, pages, at, align } of steps) {
          if (op === "take") {
            const expected = [...used.keys()].find((page) => page % 2 ** align === 0 && fits(page, pages));
            const got = space.takeLowest(BigInt(pages) * unit, unit << BigInt(align), { start: 0n, end: 32n * unit });
            expect(got).toBe(expected === undefined ? undefined : BigInt(expected) * unit);
            if (expected !== undefined) take(expected, pages);
          } else if (op === "at") {
            expect(space.takeAt({ start: BigInt(at) * unit, end: BigInt(at + pages) * unit })).toBe(fits(at, pages));
            if (fits(at, pages)) take(at, pages);
          } else if (taken.length > 0) {
            const [start, count] = taken.splice(at % taken.length, 1)[0]!;
            used.fill(false, start, start + count);
            space.release({ start: BigInt(start) * unit, end: BigInt(start + count) * unit });
          }
          const gaps = used.filter((is, page) => !is && (page === 0 || page === 16 || used[page - 1])).length;
          expect(space.gapCount).toBe(gaps);
        }
      }),
      { numRuns: 200 },
    );
  });
});
