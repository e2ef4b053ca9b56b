/** What is asked of rows: figures that can be told by hand. */
import { expect, test } from "vitest";
import { along, csvOf, gridOf, shareOf } from "../src/index.js";

const rows = [
  { size: 2, policy: "a", gain: 10 },
  { size: 1, policy: "a", gain: 0 },
  { size: 2, policy: "b", gain: 14 },
  { size: 1, policy: "b", gain: 4 },
];

test("along an axis: mean, least and most of the rows with each value", () => {
  expect(along(rows, "size", "gain")).toEqual([
    { value: 2, rows: 2, mean: 12, least: 10, most: 14 },
    { value: 1, rows: 2, mean: 2, least: 0, most: 4 },
  ]);
  expect(along([{ size: 1, gain: null }], "size", "gain")).toEqual([]);
});

test("shares of the variance: of figures that are sums of what each axis gives they sum to one", () => {
  // Mean 7; 25 a row from the size, 4 from the policy.
  expect([shareOf(rows, "size", "gain"), shareOf(rows, "policy", "gain")]).toEqual([100 / 116, 16 / 116]);
  expect(
    shareOf(
      rows.map((row) => ({ ...row, gain: 1 })),
      "size",
      "gain",
    ),
  ).toBe(0);
});

test("over two axes: numbers in their order, means of what stands on one place, null where nothing does", () => {
  expect(gridOf([...rows.slice(0, 3), { size: 2, policy: "b", gain: 16 }], "size", "policy", "gain")).toEqual({
    x: "size",
    y: "policy",
    column: "gain",
    xs: [1, 2],
    ys: ["a", "b"],
    cells: [
      [0, 10],
      [null, 15],
    ],
  });
});

test("CSV", () => {
  expect(
    csvOf(
      ["a", "b,c"],
      [
        [1, 'say "x"'],
        [null, true],
      ],
    ),
  ).toBe('a,"b,c"\r\n1,"say ""x"""\r\n,true\r\n');
});
