/** Plans as text: what is in one, and every fault with its line. */
import { InputError } from "@kreplica/inputs";
import { describe, expect, test, vi } from "vitest";
import { axesOf, planFromText, planFromValue, pointsOf, sizeOf } from "../src/index.js";

const HEAD = "schema: kreplica.sweep/1\n";
const planOf = (text: string) => planFromText(text, "plan.yaml", "the schema").plan;
const points = (text: string) => [...pointsOf(planOf(HEAD + text))];
function said(text: string): string {
  try {
    planOf(text);
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw error;
  }
  return "nothing";
}

describe("points", () => {
  test("a product in the plan's order, the last axis the fastest", () => {
    expect(points("axes: { a: [1, 2], b: [x, y, z] }").map(({ a, b }) => `${a}${b}`)).toEqual([
      "1x", "1y", "1z", "2x", "2y", "2z",
    ]); // prettier-ignore
  });

  test("axes that move together are one, behind the others", () => {
    const text = "axes: { c: [0, 1] }\ntogether: [{ a: [1, 2], b: [x, y] }]";
    expect(points(text)).toEqual([
      { c: 0, a: 1, b: "x" },
      { c: 0, a: 2, b: "y" },
      { c: 1, a: 1, b: "x" },
      { c: 1, a: 2, b: "y" },
    ]);
    expect([axesOf(planOf(HEAD + text)), sizeOf(planOf(HEAD + text))]).toEqual([["c", "a", "b"], 4]);
  });

  test("filters: only what matches one, without what matches another; values, lists, ranges", () => {
    expect(
      points("axes: { a: [1, 2, 3, 4], b: [x, y] }\nonly: [{ a: { least: 2, most: 3 } }, { b: x }]\nexcept: [{ a: [1, 2], b: x }]")
        .map(({ a, b }) => `${a}${b}`),
    ).toEqual(["2y", "3x", "3y", "4x"]); // prettier-ignore
  });

  test("JSON is YAML", () => {
    expect(planOf('{ "schema": "kreplica.sweep/1", "axes": { "pti": [true, false], "kernel": [null] } }').axes).toEqual(
      {
        pti: [true, false],
        kernel: [null],
      },
    );
  });
});

describe("every fault, with its place", () => {
  test.each([
    ["axes: {}\n", /^plan\.yaml:1:1: schema: missing/],
    [`${HEAD}axes: { a: [1] }\nmore: 1\n`, /^plan\.yaml:3:7: more: no such field/],
    [`${HEAD}axes: { a: [1, 1] }\n`, /^plan\.yaml:2:16: axes\.a\[1\]: 1 stands there twice\. Remove one\./],
    [`${HEAD}axes:\n  a: []\n`, /^plan\.yaml:3:6: axes\.a: an empty list cannot stand here\. The schema says/],
    [`${HEAD}axes:\n  a: [1\n`, /^plan\.yaml:4:1: no YAML: flow sequence/],
    [`${HEAD}axes: { a: [1], a: [2] }\n`, /^plan\.yaml:2:\d+: no YAML: map keys must be unique/],
    [`${HEAD}axes: { a: [1] }\ntogether: [{ a: [1] }]\n`, /together\[0\]\.a: an axis twice/],
    [
      `${HEAD}axes: {}\ntogether: [{ a: [1, 2], b: [1] }]\n`,
      /^plan\.yaml:3:28: together\[0\]\.b: 1 values beside 2 of a/,
    ],
    [`${HEAD}axes: {}\ntogether: [{ a: [1, 1], b: [2, 2] }]\n`, /together\[0\]\[1\]: .* stands there twice/],
    [
      `${HEAD}axes: { policy: [x] }\nonly: [{ polcy: x }]\n`,
      /only\[0\]\.polcy: filters by what is no axis of this plan\. Did you mean policy\?/,
    ],
    ["just words", /cannot stand here/],
    ["", /./],
    [
      `a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n${"bcdefghi"
        .split("")
        .map((l, i) => `${l}: &${l} [${`*${"abcdefgh"[i]}, `.repeat(9)}1]`)
        .join("\n")}\n`,
      /aliases stand for too much/,
    ],
  ])("%j", (text, message) => {
    expect(said(text)).toMatch(message);
  });

  test("two at once", () => {
    expect(said(`${HEAD}axes: { a: [1, 1], b: [2, 2] }\n`).split("\n")).toHaveLength(2);
  });
});

test("a list as a key is refused, and the library warns nobody", () => {
  const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  try {
    expect(said(`${HEAD}axes: { [1, 2]: [3] }\n`)).toMatch(/^plan\.yaml:/);
    expect(warned).not.toHaveBeenCalled();
  } finally {
    warned.mockRestore();
  }
});

describe("a plan that a program made", () => {
  const made = (value: unknown) => planFromValue(value, "plan.ts", "the schema").plan;
  test("is data, the same as from text, and no longer the program's", () => {
    const axes = { a: [1, 2], b: ["x"] };
    const plan = made({ schema: "kreplica.sweep/1", axes });
    expect(plan).toEqual(planOf(`${HEAD}axes: { a: [1, 2], b: [x] }`));
    axes.a.push(3);
    expect(plan.axes["a"]).toEqual([1, 2]);
  });

  test.each<[unknown, RegExp]>([
    [7, /^plan\.ts: 7 cannot stand here\. The schema says/],
    [{ schema: "kreplica.sweep/1" }, /^plan\.ts: axes: missing/],
    [{ schema: "kreplica.sweep/1", axes: { a: [() => 1] } }, /^plan\.ts: axes\.a\[0\]: a function cannot stand here/],
    [{ schema: "kreplica.sweep/1", axes: { a: [NaN] } }, /^plan\.ts: axes\.a\[0\]: NaN cannot stand here/],
    [{ schema: "kreplica.sweep/1", axes: { a: [1n] } }, /^plan\.ts: axes\.a\[0\]: 1 cannot stand here/],
    [{ schema: "kreplica.sweep/1", axes: { a: [1, 1] } }, /^plan\.ts: axes\.a\[1\]: 1 stands there twice/],
    [{ schema: "kreplica.sweep/1", axes: {}, stopp: 1 }, /^plan\.ts: stopp: no such field/],
  ])("%s", (value, message) => {
    expect(() => made(value)).toThrow(message);
  });
});
