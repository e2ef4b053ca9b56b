/// <reference types="node" />
/**
 * What the progress line is told by layouts, variants, sweeps and checks: it moves by what each part takes, and is full
 * at the end.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFile } from "@kreplica/recordings";
import { afterAll, expect, test, vi } from "vitest";
import { COMMANDS } from "../src/commands/all.js";
import { run } from "../src/commands/run.js";
import { type Progress, screenFor } from "../src/report/terminal.js";
import { type LayoutFileJob, runLayouts } from "../src/run-layouts.js";
import { runVariants, type VariantFileJob } from "../src/run-variants.js";

// What parts come to is for other tests.
vi.mock(import("../src/run-parts.js"), async (original) => ({
  ...(await original()),
  runParts: (parts, { begin, keep }) => {
    for (const part of parts) {
      begin(part);
      keep(part, [] as never);
    }
    return Promise.resolve();
  },
}));

const folder = mkdtempSync(join(tmpdir(), "kreplica-progress-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const bytesOf = (key: string): number => statSync(dataFile(`traces/hsw-${key}.kt.zst`)).size;

/** Bars, each as the parts of the whole by which it moved. */
class Bars implements Progress {
  private readonly told: { total: number; counts: number[] }[] = [];
  start(total: number): void {
    this.told.push({ total, counts: [] });
  }
  step(count: number): void {
    if (count !== 0) this.told.at(-1)!.counts.push(count);
  }
  stop(): void {}
  get parts(): number[][] {
    return this.told.map(({ total, counts }) => counts.map((count) => count / total));
  }
}

async function bars(words: readonly string[]): Promise<number[][]> {
  const progress = new Bars();
  const code = await run(words, COMMANDS, {
    version: "",
    out() {},
    error() {},
    screen: screenFor({}, {}),
    progress,
    debug: false,
  });
  expect(code).toBe(0);
  return progress.parts;
}
const sum = (parts: readonly number[]): number => parts.reduce((all, part) => all + part, 0);

/** Jobs on recordings of which nothing is run here: what is told of them is all that matters. */
const jobsOf = <Job>(rest: object): Job[] =>
  ["mount", "fork1"].map((key) => ({ file: dataFile(`traces/hsw-${key}.kt.zst`), ...rest }) as Job);
const WHOLE = bytesOf("mount") + bytesOf("fork1");

test("layouts: as many as a part has, of each recording's size", async () => {
  const told = new Bars();
  const jobs = jobsOf<LayoutFileJob>({ policies: ["a", "b"], layouts: { seed: 1, numbers: [0, 1, 2, 3, 4] } });
  await runLayouts(jobs, told);
  const wanted = ["mount", "fork1"].flatMap((key) => [4, 1].map((count) => (count * bytesOf(key)) / (5 * WHOLE)));
  expect(told.parts).toEqual([wanted.map((part) => expect.closeTo(part, 10) as number)]);
});

test("variants: by the recording's size, the largest first", async () => {
  const told = new Bars();
  await runVariants(jobsOf<VariantFileJob>({ policies: ["a"], variants: [{}, {}] }), told);
  expect(told.parts).toEqual([["fork1", "mount"].map((key) => expect.closeTo(bytesOf(key) / WHOLE, 10) as number)]);
});

test("a sweep: a cell by its share of its replay, a replay by its recording's size and kernels", async () => {
  const file = join(folder, "plan.yaml");
  writeFileSync(
    file,
    "schema: kreplica.sweep/1\naxes:\n  machine: [tiny-2-node]\n  farOverNear: [1.5, 4]\n  recording: [kill, mount]\n",
  );
  const [cells] = await bars(["sweep", file, "-o", join(folder, "results")]);
  expect(sum(cells!)).toBeCloseTo(1);
  const kill = bytesOf("kill") / (bytesOf("kill") + bytesOf("mount"));
  expect(sum(cells!.slice(0, -Math.round(cells!.length / 2)))).toBeCloseTo(kill);
});

test("a check: the first run of a kind boots it, and more nodes take longer", async () => {
  const [two] = await bars(["check", "--nodes", "2", "--levels", "4", "--pti", "off", "--runs", "3", "--steps", "40"]);
  expect(two).toEqual([1640, 40, 40].map((weight) => expect.closeTo(weight / 1720) as number));
  const [all] = await bars([
    "check",
    "--levels",
    "4",
    "--pti",
    "off",
    "--runs",
    "5",
    "--steps",
    "1",
    "--compare",
    "off",
  ]);
  expect(sum(all!)).toBeCloseTo(1);
  // In turn 2, 1, 3, 8 nodes, and 3 of which one's memory comes late.
  expect(all!.map((part) => Math.round((part / all![1]!) * 9))).toEqual([10, 9, 11, 16, 11]);
});
