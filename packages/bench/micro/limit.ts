/// <reference types="node" />
/**
 * The whole access path, by calls and in batches, beside the same model in C (limit.c, twice: all of it, and without
 * states, rights, contexts and nodes), in one run: first every count of the streams is compared, then time.
 *
 * In packages/bench: npm run micro -- limit [RECORDS] [ROUNDS] [PASSES]
 *
 * RECORDS of a stream: even, 20,000,000 where left out. Each process has a machine of its own and is one of several in
 * turn; a figure is the median over ROUNDS (5) of the best of PASSES (3). What was measured: docs/speed.md.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { assemble } from "@kreplica/di";
import { CounterLayout, Counters, Machine, Source, hwX86 } from "@kreplica/hw-x86";
import { GoldenTrace, goldenMachine, identityMap, runGolden, runGoldenBatches } from "@kreplica/hw-x86/testing";
import { inlineMore } from "../src/inlining.js";
import { nanoseconds } from "./timing.js";

const MIXES = ["mixed", "hostile"] as const;
const INCLUSIONS = ["inclusive", "victim"] as const;
type Inclusion = (typeof INCLUSIONS)[number];
const HOWS = ["calls", "batches"] as const;
type How = (typeof HOWS)[number];

/** What one process found. */
interface Run {
  /** Of the CPU after the first pass, laid out as {@link CounterLayout} says. */
  readonly counts: readonly number[];
  /** User time of a reference in the best pass, nanoseconds. */
  readonly ns: number;
}

const here = fileURLToPath(import.meta.url);
const layout = new CounterLayout(2);

/** Our model over a stream, as its own process runs it: a call for each reference, or in batches. */
function ours(inclusion: Inclusion, stream: string, passes: number, how: How): Run {
  inlineMore();
  const bytes = readFileSync(stream);
  const records = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const assembly = assemble([hwX86(goldenMachine(inclusion))]);
  const machine = assembly.get(Machine);
  const cpu = machine.cpu(0);
  identityMap(machine.memory, cpu);
  let counts: number[] | undefined;
  const batch = how === "batches" ? cpu.batch!() : undefined;
  if (how === "batches" && batch === undefined) throw new Error("this host has no WebAssembly with vectors");
  const ns = nanoseconds(records.length, passes, () => {
    if (batch === undefined) runGolden(cpu, records);
    else runGoldenBatches(batch, records);
    counts ??= [...assembly.get(Counters).of(0)];
  });
  return { counts: counts!, ns };
}

/** @throws Error with what the process said, if it failed */
function measured(command: string, words: readonly string[]): Run {
  const { status, stdout, stderr, error } = spawnSync(command, words, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${words.join(" ")}: ${error?.message ?? stderr}`);
  return JSON.parse(stdout) as Run;
}

/** What the program without nodes counts: sources beyond L3 as one, no write-backs. */
function withoutNodes(counts: readonly number[]): number[] {
  const sum = (from: number, to: number): number => counts.slice(from, to).reduce((a, b) => a + b, 0);
  const rows = Array.from({ length: layout.placesAt / layout.sources }, (_, row) => row * layout.sources);
  return [
    ...rows.flatMap((row) => [
      ...counts.slice(row, row + Source.Memory),
      sum(row + Source.Memory, row + layout.sources),
    ]),
    ...counts.slice(layout.placesAt, layout.writeBacksAt),
  ];
}

/** @throws Error with the first count that differs */
function same(what: string, counts: readonly number[], expected: readonly number[]): void {
  const at = expected.findIndex((count, index) => count !== counts[index]);
  if (at >= 0 || counts.length !== expected.length)
    throw new Error(`${what}: count ${at} is ${counts[at]}, ours says ${expected[at]}: not the same model`);
}

/** The middle one; of an even number the upper. */
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** Compiles the program, measures all in turn and prints a line for each. */
function compare(folder: string, records: number, rounds: number, passes: number): void {
  const source = join(dirname(here), "../micro/limit.c");
  const programs = [
    { name: "C, all of the model", file: join(folder, "full"), flags: [] },
    { name: "C, without states and nodes", file: join(folder, "plain"), flags: ["-DPLAIN"] },
  ];
  for (const { file, flags } of programs) {
    const { status, error, stderr } = spawnSync("cc", ["-O2", ...flags, source, "-o", file], { encoding: "utf8" });
    if (error !== undefined) {
      console.log("skipped: no C compiler here (cc)");
      return;
    }
    if (status !== 0) throw new Error(stderr);
  }
  const stream = join(folder, "stream");
  for (const mix of MIXES) {
    const filled = new Uint32Array(records);
    new GoldenTrace(mix).fill(filled);
    writeFileSync(stream, filled);
    const times = new Map<string, number[]>();
    const note = (what: string, ns: number): void => void times.set(what, [...(times.get(what) ?? []), ns]);
    for (let round = 0; round < rounds; round++)
      for (const inclusion of INCLUSIONS) {
        const [model, batched] = HOWS.map((how) => {
          const run = measured(process.execPath, [here, "--ours", inclusion, stream, String(passes), how]);
          note(`${inclusion} ${how}`, run.ns);
          return run;
        }) as [Run, Run];
        same(`${mix}, ${inclusion}, in batches`, batched.counts, model.counts);
        programs.forEach(({ file }, plain) => {
          const run = measured(file, [inclusion, stream, String(passes)]);
          if (plain === 0) same(`${mix}, ${inclusion}`, run.counts, model.counts);
          else same(`${mix}, ${inclusion}, plain`, withoutNodes(run.counts), withoutNodes(model.counts));
          note(`${inclusion} ${plain}`, run.ns);
        });
      }
    for (const inclusion of INCLUSIONS) {
      const mine = HOWS.map((how) => median(times.get(`${inclusion} ${how}`)!));
      const line = (what: string, values: readonly number[]): void => {
        const ns = median(values);
        const spread = (Math.max(...values) / Math.min(...values) - 1) * 100;
        const speed = (1000 / ns).toFixed(1).padStart(6);
        console.log(
          `${what.padEnd(52)} ${speed} M/s   ours ${mine.map((own) => (ns / own).toFixed(2)).join(" and ")} of it   +-${spread.toFixed(0)} %`,
        );
      };
      for (const how of HOWS) line(`${mix}, L3 ${inclusion}: ours, ${how}`, times.get(`${inclusion} ${how}`)!);
      programs.forEach(({ name }, plain) => {
        line(`${mix}, L3 ${inclusion}: ${name}`, times.get(`${inclusion} ${plain}`)!);
      });
    }
  }
  console.log("every count of the programs is the model's");
}

const words = process.argv.slice(2);
if (words[0] === "--ours")
  console.log(JSON.stringify(ours(words[1] as Inclusion, words[2]!, Number(words[3]), words[4] as How)));
else {
  const [records = 20_000_000, rounds = 5, passes = 3] = words.map(Number);
  if (![records / 2, rounds, passes].every((count) => Number.isInteger(count) && count > 0)) {
    process.stderr.write(
      "usage: npm run micro -- limit [RECORDS] [ROUNDS] [PASSES]\nRECORDS is even; all are above 0\n",
    );
    process.exit(2);
  }
  const folder = mkdtempSync(join(tmpdir(), "kreplica-limit-"));
  try {
    compare(folder, records, rounds, passes);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
