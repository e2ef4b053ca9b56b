/// <reference types="node" />
/**
 * The catalogue keeps its word: an invariant that it says a test checks has that test, under its id; every other is
 * checked by code.
 */
import { existsSync, readFileSync } from "node:fs";
import { INVARIANTS } from "@kreplica/kernel";
import { expect, test } from "vitest";
import { DEFECTS } from "@kreplica/series-as-posted";

const ROOT = new URL("../../../../", import.meta.url);
const tested = INVARIANTS.flatMap(({ id, where }) =>
  where.filter((each) => each.startsWith("test ")).map((each) => [id, each.slice("test ".length)] as const),
);

test.each(tested)("%s is in %s", (id, file) => {
  const path = new URL(file, ROOT);
  expect(existsSync(path)).toBe(true);
  expect(readFileSync(path, "utf8")).toMatch(new RegExp(`\\b${id}\\b`));
});

test("no group has the letter of a defect: P5 is an invariant, D5 a defect", () => {
  const letters = new Set(INVARIANTS.map(({ id }) => id.replace(/\d+$/, "")));
  expect(INVARIANTS.filter(({ id }) => !/^[A-Z]\d+$/.test(id))).toEqual([]);
  const numbered = DEFECTS.flatMap(({ id }) => /^([A-Z])\d+/.exec(id)?.[1] ?? []);
  expect(new Set(numbered)).toEqual(new Set(["D", "N"]));
  expect(numbered.filter((letter) => letters.has(letter))).toEqual([]);
});

test("those that a test alone checks are about several kernels, or loads again and again", () => {
  expect(INVARIANTS.filter(({ where }) => where.every((each) => each.startsWith("test "))).map(({ id }) => id)).toEqual(
    ["E9", "H6", "I1", "I2", "I5", "I6"],
  );
  expect(INVARIANTS.every(({ where }) => where.length > 0)).toBe(true);
});
