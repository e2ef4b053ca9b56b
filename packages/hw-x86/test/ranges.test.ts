/** Ranges of addresses: what they begin and end with, what lies in them, what they share. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { alignDown, alignUp, contains, endOf, meet, overlap, PAGE, type PageRange, pagesBetween } from "../src/api.js";

const range = fc.record({ start: fc.nat(20).map((page) => BigInt(page) * PAGE), pages: fc.nat(5) });
const pagesIn = ({ start, pages }: PageRange): bigint[] =>
  Array.from({ length: pages }, (_, page) => start + BigInt(page) * PAGE);

test("a range of pages holds its pages, and ends where the next begins", () => {
  fc.assert(
    fc.property(range, range, (a, b) => {
      expect(pagesBetween(a.start, endOf(a))).toEqual(a);
      const shared = pagesIn(a).some((page) => pagesIn(b).includes(page));
      if (a.pages > 0 && b.pages > 0) {
        expect(overlap(a, b)).toBe(shared);
        expect(meet({ start: a.start, end: endOf(a) }, { start: b.start, end: endOf(b) })).toBe(shared);
      }
      for (let page = 0n; page < 26n; page++)
        expect(contains({ start: a.start, end: endOf(a) }, page * PAGE)).toBe(pagesIn(a).includes(page * PAGE));
    }),
  );
});

test("the last page counts as a whole", () => {
  expect(pagesBetween(0x1000n, 0x2001n)).toEqual({ start: 0x1000n, pages: 2 });
  expect(pagesBetween(0x1000n, 0x1000n).pages).toBe(0);
});

test("addresses are moved up and down to a power of two, and stay where they are on one", () => {
  expect([alignUp(0x1001n, PAGE), alignDown(0x1fffn, PAGE)]).toEqual([0x2000n, 0x1000n]);
  expect([alignUp(0x2000n, PAGE), alignDown(0x2000n, PAGE)]).toEqual([0x2000n, 0x2000n]);
});
