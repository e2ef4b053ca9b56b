/** The comparison's first screen: what fits 24 lines of 80, what stands below it, and what is never left out. */
import type { CompareResult } from "@kreplica/replay";
import { describe, expect, test } from "vitest";
import { bar } from "../../src/report/bars.js";
import { compareShortText, type Details } from "../../src/report/compare-short.js";
import { verdictSentences } from "../../src/report/compare-verdict.js";
import { screenFor } from "../../src/report/terminal.js";
import { result, wholeMachine } from "./fixture-result.js";

const COST = { ...result().memoryCost, lessFree: 311_318_016 };
const NONE: Details = { why: false, memory: false, work: false, alignment: false };
const piped = (columns: number) => screenFor({}, { COLUMNS: String(columns) });
const short = (given: Partial<CompareResult> = {}, details: Partial<Details> = {}, columns = 80): string =>
  compareShortText(
    result({ machine: wholeMachine(), memoryCost: COST, ...given }),
    { ...NONE, ...details },
    piped(columns),
  );
const lines = (text: string): string[] => text.trimEnd().split("\n");
const widest = (text: string): number => Math.max(...lines(text).map((line) => line.length));
const PARTS = /^(Every node|Why, cold|Why, hot|Replication's own work|Memory|Invariants)/gm;

test("all seven tests, cold and hot, fit a screen of 24 lines of 80, figures as wide as they come; no line is wider", () => {
  const text = short();
  expect(lines(text).length).toBeLessThanOrEqual(24);
  expect(widest(text)).toBeLessThanOrEqual(80);
  for (const columns of [60, 100, 200, 250]) expect(widest(short({}, {}, columns))).toBeLessThanOrEqual(columns);
  expect(text.match(PARTS)).toBeNull();
  expect(text.match(/^Verdict\n( {2}\S.*\n){5}\n/m)).not.toBeNull();
  expect(lines(text).at(-1)).toBe("  More: --why, --memory, --work, or -v for all of it.");
});

test("at 60 columns reported figures give way, and no row is cut in two", () => {
  const narrow = short({}, {}, 60);
  expect(narrow.match(/^ {2}fork-1 .*\.\. .*\.\. /gm)).toHaveLength(1);
  expect(narrow).not.toContain("ported");
  expect(short()).toContain("ported");
});

test("a sentence of the verdict is the document's where it fits the line, else a shorter one with the same figures", () => {
  const all = verdictSentences(result({ machine: wholeMachine(), memoryCost: COST }));
  const wide = short({}, {}, 200);
  for (const sentence of all) expect(wide).toContain(`  ${sentence}\n`);
  const figures = (text: string): string[] => text.match(/-?\d+\.\d(?! ns)/g) ?? [];
  const verdict = /^Verdict\n(( {2}\S.*\n)+)/m.exec(short())![1]!;
  expect(figures(verdict)).toEqual(figures(all.join(" ")));
});

test("what an option asks for stands below, each part by its own", () => {
  const parts = (details: Partial<Details>): string[] => short({}, details).match(PARTS) ?? [];
  expect(parts({ why: true })).toEqual(["Every node", "Why, cold", "Why, hot"]);
  expect(short({}, { why: true })).toMatch(/bound past/);
  expect(parts({ work: true })).toEqual(["Replication's own work"]);
  expect(parts({ memory: true })).toEqual(["Memory", "Invariants"]);
  expect(short({}, { memory: true })).toContain("More: --why, --work, or -v");
  expect(short({}, { alignment: true })).toContain("Alignment of text and rodata");
  expect(short()).not.toContain("Alignment of text and rodata");
});

describe("is never left out", () => {
  const flat = (given: Partial<CompareResult>): string => short(given).replace(/\s+/g, " ");
  test("a rule that does not hold, and memory that is not what it should be", () => {
    const violated = [{ id: "B2", sentence: "is so", detail: "is not" }];
    expect(flat({ invariants: { checked: ["B2"], violated, notReached: [] } as never })).toContain("B2: is so. Not so");
    const { memory, memoryCost } = result();
    expect(flat({ memory: { ...memory, closedForm: 4096 } })).toContain("4,096 bytes, not equal");
    expect(flat({ memoryCost: { ...memoryCost, unexplained: 8192 } })).toContain("8,192 in none of these");
  });

  test("runs of another length, runs that did not settle, and whose the figures are where one CPU was looked at", () => {
    const { tests } = result();
    expect(
      flat({ tests: tests.map((each) => (each.test.key === "forkN" ? { ...each, iterations: 16 } : each)) }),
    ).toMatch(/fork-1024\* .*fork-1024, 16 of 1024 calls/);
    expect(
      flat({
        tests: tests.map((each, at) => (at === 0 ? { ...each, perNode: { ...each.perNode, settled: false } } : each)),
      }),
    ).toContain("Did not settle, taken as they were: fork-1 cold.");
    expect(flat({ machine: undefined })).toContain("Of this CPU's node alone.");
    expect(flat({})).not.toContain("Of this CPU's node alone.");
  });
});

describe("bars", () => {
  const utf8 = screenFor({ isTTY: true, columns: 80 }, { LANG: "en_US.UTF-8", NO_COLOR: "1" });
  test("are as long as the value, in letters or eighths of them, and of other letters below zero", () => {
    const row = (screen: typeof utf8): string[] => [10, 5, 0.7, 0, -5, -20].map((value) => bar(value, 10, 4, screen));
    expect(row(utf8)).toEqual(["████", "██", "▎", "", "░░", "░░░░"]);
    expect(row(piped(80))).toEqual(["####", "##", "", "", "--", "----"]);
  });

  test("stand beside the figure where there is room, for cold and hot at one scale", () => {
    expect(short()).toMatch(/^ {2}fork-1 +-2\.7 {2}-+ +-13\.8 \.\. 21\.7 +42\.7 +-2\.7 +-13\.8 \.\. /m);
    expect(short({}, {}, 100)).toMatch(/^ {2}fork-1 +-2\.7 {2}(-+) +-13\.8 \.\. 21\.7 +42\.7 +-2\.7 {2}\1 +-13\.8/m);
  });

  test.each([
    ["UTF-8 by LANG", { LANG: "de_DE.utf8" }, true],
    ["LC_ALL before LANG", { LC_ALL: "C", LANG: "en_US.UTF-8" }, false],
    ["LC_CTYPE before LANG", { LC_CTYPE: "C.UTF-8", LANG: "C" }, true],
    ["nothing set", {}, false],
    ["a dumb terminal", { LANG: "en_US.UTF-8", TERM: "dumb" }, false],
  ])("are of block characters on a terminal, %s: %o %s; never in a pipe", (_what, environment, blocks) => {
    expect(screenFor({ isTTY: true }, environment).blocks).toBe(blocks);
    expect(screenFor({}, environment).blocks).toBe(false);
  });
});
