/// <reference types="node" />
/** Where in the text cycles went: the same run, nothing lost, each reference at the function that made it. */
import { e52690v3 } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { Kind, traceTests } from "@kreplica/trace";
import {
  accountOf,
  bytesFor,
  CAUSES,
  type Comparison,
  copyCurves,
  cycleAccount,
  farCycles,
  functionRows,
  leavesOf,
  type LocatedTest,
  NOWHERE,
  pageRows,
  shareOfBytes,
  TextSymbols,
  total,
} from "@kreplica/replay";
import { describe, expect, test } from "vitest";
import { readTraceFile } from "../../src/inputs/trace-file.js";
import { placesText } from "../../src/report/compare-places.js";
import { screenFor } from "../../src/report/terminal.js";
import { placesOf } from "../../src/report/documents/compare-places.js";
import { measureFile } from "../../src/run-jobs.js";
import { tracedKernel, tracedSymbols } from "../../src/traced-kernel.js";

const file = dataFile("traces/hsw-kill.kt.zst");
const job = {
  spec: e52690v3,
  where: { cpu: 12, masterNode: 0, dataNode: 1 },
  pti: true,
  levels: 4 as const,
  seed: 1,
  alignment: "patch-06" as const,
  policies: ["single-copy", "per-node"],
  file,
};
const [one, copies] = measureFile({ ...job, located: true });
const symbols = new TextSymbols(tracedKernel("patch-06"), tracedSymbols());
const STATES = ["cold", "hot"] as const;
const located = {
  symbols,
  tests: STATES.map((cache): LocatedTest => ({
    test: traceTests[0]!,
    file,
    cache,
    iterations: 1,
    singleCopy: one!.located![cache],
    perNode: copies!.located![cache],
  })),
};
const accounts = (cache: "cold" | "hot") =>
  [one!, copies!].map((each) => cycleAccount(each[cache], e52690v3, 1).account);

test("a run that is watched counts what one that is not counts", () => {
  const plain = measureFile(job);
  for (const [nth, watched] of [one!, copies!].entries())
    for (const cache of STATES) expect(watched[cache]).toEqual(plain[nth]![cache]);
  expect(plain[0]!.located).toBeUndefined();
});

test.each(STATES)(
  "%s: functions and pages sum to the account, cause by cause, exactly; nothing went nowhere",
  (cache) => {
    const each = located.tests.find((of) => of.cache === cache)!;
    const wanted = accounts(cache).map(leavesOf);
    for (const rows of [functionRows(each, symbols), pageRows(each, 4096), pageRows(each, 2 ** 21)]) {
      const sums = ["before", "after"].map((side) =>
        CAUSES.map((_, cause) => rows.reduce((sum, row) => sum + row[side as "before" | "after"][cause]!, 0)),
      );
      expect(sums).toEqual(wanted);
      const nowhere = rows.find(({ name }) => name === NOWHERE);
      for (const side of [nowhere?.before, nowhere?.after]) for (const cycles of side ?? []) expect(cycles).toBe(0);
    }
    // And there is something to tell apart.
    const rows = functionRows(each, symbols);
    expect(rows.length).toBeGreaterThan(300);
    expect(new Set(CAUSES.filter((_, at) => rows.some(({ before }) => before[at] !== 0))).size).toBeGreaterThan(10);
  },
);

test.each([1, 5, 10_000])("of %i listed: listed, others and what has no symbol sum to the account's text", (most) => {
  const { functions, pages } = placesOf(located, { functions: most, pages: most });
  expect(functions).toHaveLength(2);
  for (const [nth, cache] of STATES.entries()) {
    const [before, after] = accounts(cache);
    for (const { listed, others, ...rest } of [functions[nth]!, pages[nth]!]) {
      const outside = "withoutSymbol" in rest ? rest.withoutSymbol : rest.elsewhere;
      expect(listed.length).toBeLessThanOrEqual(most);
      const all = [...listed, others, outside];
      for (const level of ["l2", "ownL3", "otherL3", "local", "remote"] as const) {
        expect(all.reduce((sum, row) => sum + row.before[level], 0)).toBe(before!.text[level]);
        expect(all.reduce((sum, row) => sum + row.after[level], 0)).toBe(after!.text[level]);
      }
      // The most far first.
      const far = listed.map((row) => row.before.remote);
      expect(far).toEqual([...far].sort((a, b) => b - a));
      expect(others.before.remote === 0 || listed.length === most).toBe(true);
    }
  }
});

test("instructions stand at the functions in which the recording has them", () => {
  const wanted = ["__schedule", "do_exit", "__handle_mm_fault", "unmap_page_range"].map((name) =>
    symbols.functions.find((each) => each.name === name)!,
  );
  const recorded = wanted.map(() => 0);
  let [measured, vcpu] = [-1, 0];
  readTraceFile(file, ({ kind, lo, hi, a, length }) => {
    for (let i = 0; i < length; i++) {
      if (kind[i] === Kind.Vcpu) vcpu = a[i]!;
      if (kind[i] === Kind.Mark && measured < 0) measured = vcpu;
      if (kind[i] !== Kind.Fetch || hi[i] !== 0xffff_ffff || vcpu !== measured) continue;
      wanted.forEach(({ start, bytes }, nth) => {
        if (lo[i]! >= start && lo[i]! < start + bytes) recorded[nth]! += a[i]!;
      });
    }
  });
  const rows = functionRows(located.tests[0]!, symbols);
  const perInstruction = e52690v3.costs.cyclesPerInstruction.value;
  for (const [nth, { name }] of wanted.entries()) {
    expect(recorded[nth]!, name).toBeGreaterThan(10);
    const { before } = rows.find((each) => each.name === name)!;
    expect(accountOf(before).instructions / recorded[nth]!, name).toBeCloseTo(perInstruction, 2);
  }
});

test("copies take far text away, and leave every other cause of a function's where no replication works", () => {
  const [cold] = located.tests;
  const rows = functionRows(cold!, symbols);
  expect(rows.reduce((sum, { before }) => sum + farCycles(before), 0)).toBe(accounts("cold")[0]!.text.remote);
  expect(rows.every(({ after }) => farCycles(after) === 0)).toBe(true);
  expect(total(accounts("cold")[1]!.text)).toBeGreaterThan(0);
});

test("as text: a table a test and kind, sums below, and how few bytes it takes", () => {
  const shown = { test: traceTests[0]!, file, cache: "cold", iterations: 1 } as Comparison;
  const screen = screenFor({}, { COLUMNS: "100", NO_COLOR: "1" });
  const textOf = (listed: { functions?: number; pages?: number } | undefined): string =>
    placesText({ tests: [shown], located, ...(listed ? { listed } : {}) }, screen);
  expect(textOf(undefined)).toBe("");
  const text = textOf({ functions: 4, pages: 3 });
  const lines = text.split("\n");
  expect(lines.filter((line) => line.startsWith("Where, "))).toHaveLength(2);
  // Head of two lines, four functions, the others, all.
  expect(lines.filter((line) => line !== "").indexOf(lines.find((line) => /^ {2}all /.test(line))!)).toBe(8);
  const far = accounts("cold")[0]!.text.remote / 1000;
  expect(lines.find((line) => /^ {2}all /.test(line))).toMatch(new RegExp(`^  all +${far.toFixed(0)} .* 100\\.0$`));
  expect(text).toMatch(/^Copies, .*:/m);
  const { linked, hotFirst, textBytes } = copyCurves(located.tests[0]!, symbols);
  const kib = (bytes: number | undefined): string => (bytes! / 1024).toFixed(0);
  const columns = [linked.small, linked.large, hotFirst.small, hotFirst.large];
  expect(text).toMatch(
    new RegExp(`^  KiB for 80 % +${columns.map((curve) => kib(bytesFor(curve, 0.8))).join(" +")}$`, "m"),
  );
  expect(text).toMatch(
    new RegExp(
      `^  % in 7 % of text +${columns.map((curve) => (100 * shareOfBytes(curve, 0.07 * textBytes)).toFixed(1)).join(" +")}$`,
      "m",
    ),
  );
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(100);
});

test("a line that two functions share is the one's that was entered: none is charged that never ran", () => {
  for (const each of located.tests) {
    const rows = functionRows(each, symbols).filter(({ start }) => start !== undefined);
    const lines = rows.map(({ start }) => Math.floor(start! / 64));
    expect(new Set(lines).size).toBeLessThan(lines.length);
    expect(rows.filter(({ before }) => accountOf(before).instructions === 0).map(({ name }) => name)).toEqual([]);
  }
});

describe("copies of the hottest pieces alone", () => {
  const cold = located.tests[0]!;
  const { linked, hotFirst, textBytes } = copyCurves(cold, symbols);

  test("make near what is far in them: all of it in the end, each piece less than the one before", () => {
    for (const { small, large } of [linked, hotFirst])
      for (const [curve, bytes] of [
        [small, 4096],
        [large, 2 * 2 ** 20],
      ] as const) {
        expect(curve.at(-1)!.share).toBeCloseTo(1, 9);
        expect(curve.map((each) => each.bytes)).toEqual(curve.map((_, nth) => (nth + 1) * bytes));
        const steps = curve.map(({ share }, nth) => share - (curve[nth - 1]?.share ?? 0));
        for (const [nth, step] of steps.entries()) expect(step).toBeLessThanOrEqual((steps[nth - 1] ?? 1) + 1e-12);
      }
    const pages = pageRows(cold, 4096).filter(({ before }) => farCycles(before) > 0);
    expect(linked.small).toHaveLength(pages.length);
    const most = Math.max(...pages.map(({ before }) => farCycles(before)));
    expect(linked.small[0]!.share).toBeCloseTo(most / accounts("cold")[0]!.text.remote, 9);
    const { stext, etext } = tracedKernel("patch-06");
    expect(textBytes).toBeLessThanOrEqual(Number(etext - stext));
    expect(textBytes).toBeGreaterThan(0.99 * Number(etext - stext));
  });

  test("linked hot-first take one leaf of 2 MiB where they were scattered over several, and fewer of 4 KiB", () => {
    expect(linked.large.length).toBeGreaterThan(3);
    expect(hotFirst.large).toHaveLength(1);
    const functions = functionRows(cold, symbols).filter(({ before }) => farCycles(before) > 0);
    const bytes = functions.reduce((sum, each) => sum + each.bytes, 0);
    expect(hotFirst.small.at(-1)!.bytes).toBeLessThan(bytes + 4096);
    expect(hotFirst.small.at(-1)!.bytes).toBeLessThan(linked.small.at(-1)!.bytes);
  });

  test("of 7 % of the text have more of the far cycles than the 80 % that were measured in 1995; one leaf is more than that", () => {
    expect(shareOfBytes(linked.small, 0.07 * textBytes)).toBeGreaterThan(0.8);
    expect(shareOfBytes(hotFirst.large, 0.07 * textBytes)).toBe(0);
    expect(bytesFor(linked.small, 0.8)).toBeLessThan(0.07 * textBytes);
    expect(bytesFor(linked.small, 1)).toBe(linked.small.at(-1)!.bytes);
    expect(bytesFor([], 0.8)).toBeUndefined();
  });

  test("stand in the document, and are empty where nothing is far", () => {
    const { pages } = placesOf(located, { pages: 1 });
    expect(pages[0]!.curve.linked4KiB).toHaveLength(linked.small.length);
    expect(pages[0]!.curve.hotFirst2MiB).toEqual([{ bytes: 2 * 2 ** 20, nearShare: 1 }]);
    expect(pages[1]!.curve).toEqual({
      textBytes,
      linked4KiB: [],
      linked2MiB: [],
      hotFirst4KiB: [],
      hotFirst2MiB: [],
    });
  });
});
