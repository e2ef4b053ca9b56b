/** What the page sums up is what the accounts say. */
import { expect, test } from "vitest";
import { whyBars } from "../src/index.js";
import { smallDocument } from "./small-document.js";

const { comparison } = smallDocument;

test("the causes of a bar are all its cycles", () => {
  for (const { cycles, parts } of whyBars(comparison))
    expect(parts.reduce((sum, part) => sum + part.cycles, 0)).toBeCloseTo(cycles, 2);
});

test("bars come in pairs, cold ones first, by iteration", () => {
  const bars = whyBars({ ...comparison, tests: comparison.tests.map((each) => ({ ...each, iterations: 4 })) });
  expect(bars.map(({ test, cache, kernel }) => `${test} ${cache} ${kernel}`)).toEqual([
    "fork-1 cold one copy",
    "fork-1 cold copies",
    "kill cold one copy",
    "kill cold copies",
    "fork-1 hot one copy",
    "fork-1 hot copies",
  ]);
  expect(bars[0]!.cycles).toBeCloseTo(comparison.tests[0]!.singleCopy.cycles / 4, 2);
});

test("far cycles are those of another node's memory, whatever was fetched or loaded", () => {
  const { text, rodata, data, walks } = comparison.tests[0]!.singleCopy.account;
  expect(whyBars(comparison)[0]!.farCycles).toBe(text.remote + rodata.remote + data.remote + walks.remote);
});
