/// <reference types="node" />
/** Runs that are kept: not run again as long as nothing changed that they depend on, however the result is told. */
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MachineSpec } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import { type KernelPolicy, perNode } from "@kreplica/kernel";
import { Option } from "commander";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KeptRuns, useKeptRuns } from "../../src/kept-runs.js";
import { type PolicyJob, runParts } from "../../src/run-parts.js";
import type { RegisterCommand } from "../../src/commands/command.js";
import { invoke, type Invoked } from "../invoke.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kreplica-runs-"));
});
afterEach(() => {
  useKeptRuns(undefined);
  rmSync(folder, { recursive: true, force: true });
});

interface Job extends PolicyJob {
  readonly file: string;
  readonly what?: unknown;
}
const job = (over: Partial<Job> = {}): Job => ({
  spec: { name: "a machine" } as unknown as MachineSpec,
  policies: ["per-node"],
  file: join(folder, "one.kt"),
  ...over,
});
const MILLISECONDS = 60;

let times = 0;
/** Answers of each job, computed where none was kept. */
async function answers(
  jobs: readonly Job[],
  { fresh = false, milliseconds = MILLISECONDS, refuse = false } = {},
): Promise<unknown[]> {
  useKeptRuns(new KeptRuns(join(folder, "results"), fresh));
  return ran(jobs, milliseconds, refuse);
}

async function ran(jobs: readonly Job[], milliseconds = MILLISECONDS, refuse = false): Promise<unknown[]> {
  const all: unknown[] = [];
  await runParts<Job, { readonly job: Job; readonly index: number }, unknown>(
    jobs.map((each, index) => ({ job: each, index })),
    {
      begin: () => undefined,
      keep: ({ index }, answer) => {
        all[index] = answer;
      },
      work: ({ what }) => {
        times++;
        for (const end = performance.now() + milliseconds; performance.now() < end;);
        if (refuse) throw new InputError({ file: "one.kt", reason: "refused", remedy: "leave it out" });
        return { what, counts: new Map([[1n, Float64Array.of(times)]]) };
      },
      answerIn: () => undefined,
    },
  );
  return all;
}
const timesOf = async (...of: Parameters<typeof answers>): Promise<number> => {
  const before = times;
  await answers(...of);
  return times - before;
};

test("a run is found as it was answered, maps and arrays of numbers too, each in its job's place", async () => {
  const jobs = [job(), job({ what: "second" })];
  const first = await answers(jobs);
  expect(await answers(jobs)).toEqual(first);
  expect(await answers([...jobs].reverse())).toEqual([...first].reverse());
  expect(await timesOf([...jobs, job({ what: "third" })])).toBe(1);
});

test.each<[string, Partial<Job>]>([
  ["another machine", { spec: { name: "another" } as unknown as MachineSpec }],
  ["another policy", { policies: ["single-copy"] }],
  ["something else in a map", { what: new Map([[1, 3]]) }],
  ["a number of another kind", { what: new Map([[1, 2n]]) }],
  ["another file of the same bytes", { file: "/nowhere/one.kt" }],
])("%s: computed", async (_, other) => {
  await answers([job({ what: new Map([[1, 2]]) })]);
  expect(await timesOf([job({ what: new Map([[1, 2]]) })])).toBe(0);
  expect(await timesOf([job({ what: new Map([[1, 2]]), ...other })])).toBe(1);
});

test("a policy and its name are the same; one of the caller's own is never kept", async () => {
  await answers([job()]);
  expect(await timesOf([job({ policies: [perNode] })])).toBe(0);
  const own: KernelPolicy = { ...perNode, summary: "another" };
  expect([await timesOf([job({ policies: [own] })]), await timesOf([job({ policies: [own] })])]).toEqual([1, 1]);
});

test("a recording of other bytes, or something put beside it: computed", async () => {
  for (const name of ["one.kt", "one.lines.zst", "numa.txt"]) {
    writeFileSync(join(folder, name), "a");
    expect([await timesOf([job()]), await timesOf([job()])], name).toEqual([1, 0]);
  }
  writeFileSync(join(folder, "one.kt"), "b");
  expect(await timesOf([job()])).toBe(1);
});

test("fresh, it is computed, and what was computed is what is kept", async () => {
  await answers([job()]);
  const [fresh] = await answers([job()], { fresh: true });
  expect(await answers([job()])).toEqual([fresh]);
});

test("what was refused, or took no time, is not kept", async () => {
  await answers([job()], { refuse: true });
  await answers([job()], { milliseconds: 0 });
  expect(readdirSync(folder)).toEqual([]);
});

test("a file that was cut is as none", async () => {
  await answers([job()]);
  truncateSync(join(folder, "results", readdirSync(join(folder, "results"))[0]!), 90);
  expect([await timesOf([job()]), await timesOf([job()])]).toEqual([1, 0]);
});

test("a command finds what another way of showing it ran, and says so to somebody who watches; --fresh runs it", async () => {
  const drawn: RegisterCommand = (program, context) => {
    program
      .command("map")
      .addOption(new Option("--shown <how>", "how"))
      .action(async ({ shown }: { readonly shown?: string }) => {
        const jobs = [job(), job({ what: "second" }), ...(shown === "more" ? [job({ what: "third" })] : [])];
        context.print(`${(await ran(jobs)).length} runs, shown ${shown ?? "as usual"}\n`);
      });
  };
  const map = (...words: string[]): Promise<Invoked> =>
    invoke(["map", ...words], {}, [drawn], { folder: join(folder, "results"), watched: true, leastSeconds: 1 });
  const before = times;
  expect(await map()).toEqual({ code: 0, out: "2 runs, shown as usual\n", error: "" });
  expect(await map("--shown", "wide")).toEqual({
    code: 0,
    out: "2 runs, shown wide\n",
    error: "kreplica: all runs of recordings were kept; --fresh computes them anew\n",
  });
  expect((await map("--shown", "more")).error).toBe(
    "kreplica: 2 of 3 runs of recordings were kept; --fresh computes them anew\n",
  );
  expect(times - before).toBe(3);
  expect((await map("--fresh")).error).toBe("");
  expect(times - before).toBe(5);
});
