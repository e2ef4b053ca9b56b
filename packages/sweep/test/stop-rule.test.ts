/** Enough precision: how well a mean is known, which cells belong together, where it is stopped. */
import { describe, expect, test } from "vitest";
import { groupsAlong, halfWidthOf, isEnough, type Row, wantedOf } from "../src/index.js";

const rows = (hot: number, cold = 10): readonly Row[] => [
  { cache: "hot", gainPercent: hot },
  { cache: "cold", gainPercent: cold },
];
const rule = { along: "layout", halfWidthPercent: 1, each: 2 };

describe("how well a mean is known", () => {
  test("Student's t by hand: 2 and 4 are 3 give or take 12.706; 31 values and more by that of 30", () => {
    expect(halfWidthOf([2, 4])).toBeCloseTo(12.706, 10);
    // 1, 2, 3: deviation 1, error 1/sqrt(3), t of two degrees of freedom.
    expect(halfWidthOf([1, 2, 3])).toBeCloseTo(4.303 / Math.sqrt(3), 10);
    const many = Array.from({ length: 100 }, (_, i) => i % 2);
    expect(halfWidthOf(many)).toBeCloseTo((2.042 * Math.sqrt(25 / 99)) / 10, 10);
  });

  test("one value says nothing of its mean, equal ones all", () => {
    expect([halfWidthOf([]), halfWidthOf([5]), halfWidthOf([5, 5])]).toEqual([Infinity, Infinity, 0]);
  });

  test("both states of the caches must be known, and something must be", () => {
    expect(isEnough(rule, [rows(3), rows(3.01)])).toBe(true);
    expect(isEnough(rule, [rows(3), rows(4)])).toBe(false);
    expect(isEnough(rule, [rows(3, 10), rows(3, 20)])).toBe(false);
    expect(isEnough(rule, [[], []])).toBe(false);
  });
});

test("cells that differ along the axis alone are a group, wherever they stand", () => {
  const points = [
    { layout: 1, policy: "a" },
    { layout: 1, policy: "b" },
    { layout: 2, policy: "a" },
    { layout: 2, policy: "b" },
  ];
  expect(groupsAlong("layout", points)).toEqual([0, 1, 0, 1]);
  expect(groupsAlong("policy", points)).toEqual([0, 0, 1, 1]);
});

describe("what is wanted", () => {
  const groups = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1];
  /** Group 0 is known at its first look; group 1 at the second. */
  const all = [3, 0, 3, 9, 3, 0, 3, 9, 3, 0].map((hot, cell) => rows(cell % 2 === 0 ? hot : cell < 4 ? hot : 4.5));
  const from = (known: readonly number[]) =>
    wantedOf(rule, groups, (cell) => (known.includes(cell) ? all[cell] : undefined));

  test("the first look's cells at first, of every group", () => {
    expect(from([])).toEqual({ cells: [0, 1, 2, 3], missing: [0, 1, 2, 3] });
    expect(from([1, 2])).toEqual({ cells: [0, 1, 2, 3], missing: [0, 3] });
  });

  test("more of a group that does not tell enough, none of one that does", () => {
    expect(from([0, 1, 2, 3])).toEqual({ cells: [0, 1, 2, 3, 5, 7], missing: [5, 7] });
  });

  test("all of a group that never tells enough; the rest of an odd one too", () => {
    expect(from([0, 1, 2, 3, 5, 7])).toEqual({ cells: [0, 1, 2, 3, 5, 7, 9], missing: [9] });
    expect(from([0, 1, 2, 3, 5, 7, 9])).toEqual({ cells: [0, 1, 2, 3, 5, 7, 9], missing: [] });
  });

  test("cells measured beyond the end, by another plan, are not part of it", () => {
    expect(from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).cells).toEqual([0, 1, 2, 3, 5, 7, 9]);
  });
});
