/**
 * Every defect of the series that can show on two nodes is found once, with its rule and its name, however many others
 * are there.
 */
import type { Kernel } from "@kreplica/kernel";
import { expect, test } from "vitest";
import { FAMILIES } from "../src/families.js";
import { kernelOf } from "../src/kinds.js";
import { configuredKinds, SERIES_IDS, withSeries } from "../src/series.js";
import { outcome } from "../src/survey.js";
import { byName, PLAIN, surveyOf } from "./surveyed.js";

test("the series as posted: each defect once, by the rule that is its own, on the shortest way, which it alone goes wrong on", () => {
  const kinds = [PLAIN, ...configuredKinds([PLAIN]), { ...PLAIN, pti: true }];
  const { findings, unseen } = surveyOf(kinds, { families: FAMILIES, runs: 80 });
  const found = byName(findings);
  expect(Object.keys(found)).toHaveLength(findings.length);
  expect(found).toMatchObject({
    D1: "B7",
    D3: "G8",
    D4: "C2",
    D5: "B6",
    D8: "F6",
    D9: "C3",
    D11: "F9",
    D13: "H6",
    D15: "C8",
    D16: "A5",
    N1: "A1",
    N2: "B6",
    N3: "E6",
    "remote-table": "B2",
  });
  // Every one is either found or said not to be.
  expect([...findings.flatMap(({ names }) => names), ...unseen].sort()).toEqual([...SERIES_IDS].sort());
  for (const { names, invariant, operations, kind, laid } of findings) {
    expect([names, operations.length <= 6]).toEqual([names, true]);
    expect(laid).toEqual(names);
    const kernel = (ids: readonly string[]): Kernel =>
      withSeries(kernelOf("per-node", kinds[kind]!), kinds[kind]!, ids);
    expect(outcome(kernel(laid), operations).map((each) => each.invariant)).toContain(invariant);
    expect([names, outcome(kernel([]), operations)]).toEqual([names, []]);
  }
});
