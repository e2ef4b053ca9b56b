/// <reference types="node" />
/**
 * The whole access path, by calls and in batches, beside the same model in C (limit.c, twice: all of it, and without
 * states, rights, contexts and nodes), in one run: first every count of the streams is compared, then time.
 *
 * In packages/bench: npm run micro -- limit [RECORDS] [ROUNDS] [PASSES] [changes]
 *
 * RECORDS of a stream: even, 20,000,000 where left out. Each process has a machine of its own and is one of several in
 * turn; a figure is the median over ROUNDS (5) of the best of PASSES (3). With `changes` the program is compiled to
 * WebAssembly as well, by clang: as it is, then each with one thing done as ours does it, then with all of them. What
 * was measured: docs/speed.md.
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

/** What limit.c can be told to do as ours does it: its macro, and how that is called. */
const CHANGES = [
  ["CALLS", "a call for each function of ours"],
  ["SETS_52", "sets of 52 bytes, with marks of tags"],
  ["STATE_WORDS", "state words of 32 bits"],
  ["SIZES", "pages of three sizes"],
  ["TURNS", "regions"],
  ["TWO_PASSES", "walks read through first"],
  ["HOMES", "homes by table"],
  ["BATCHES", "handed over in batches by JavaScript"],
] as const;
/** References of a batch, as ours has them. */
const BATCH = 8192;

/** A program that is measured beside ours. */
interface Program {
  readonly name: string;
  /** It counts neither states nor nodes. */
  readonly plain: boolean;
  readonly command: string;
  readonly words: readonly string[];
}

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

/** The program as WebAssembly over a stream, as its own process runs it. @param batched a batch at a time */
function ofWasm(binary: string, batched: boolean, inclusion: Inclusion, stream: string, passes: number): Run {
  const bytes = readFileSync(stream);
  const records = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(binary)));
  const { setup, go, counted, memory } = exports as unknown as {
    setup: (victim: number, bytes: number) => number;
    go: (records: number, length: number) => void;
    counted: () => number;
    memory: WebAssembly.Memory;
  };
  const at = setup(inclusion === "victim" ? 1 : 0, batched ? BATCH * 8 : bytes.length);
  const input = new Int32Array(memory.buffer, at, batched ? BATCH * 2 : records.length);
  if (!batched) input.set(records);
  let counts: number[] | undefined;
  const ns = nanoseconds(records.length, passes, () => {
    if (!batched) go(at, records.length);
    for (let from = 0; batched && from < records.length; from += BATCH) {
      const length = Math.min(BATCH, records.length - from);
      for (let nth = 0; nth < length; nth++) {
        const record = records[from + nth]!;
        input[2 * nth] = ((record >>> 2) & ~63) | (record & 3);
        input[2 * nth + 1] = 0;
      }
      go(at, length);
    }
    const { length } = layout;
    counts ??= Array.from(new BigUint64Array(memory.buffer, counted(), length), Number);
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

const program = join(dirname(here), "../micro/limit.c");

/** Compiles a program, limit.c where none is named. @returns what hinders it, or undefined */
function compile(compiler: string, flags: readonly string[], file: string, source = program): string | undefined {
  const { error, status, stderr } = spawnSync(compiler, ["-O2", ...flags, source, "-o", file], { encoding: "utf8" });
  return error?.message ?? (status === 0 ? undefined : stderr);
}

/** The program in WebAssembly with each change, and with all. @returns what hinders it, in words */
function changed(folder: string): Program[] | string {
  const target = ["--target=wasm32", "-msimd128", "-mbulk-memory", "-nostdlib"];
  const linked = ["--no-entry", "--initial-memory=134217728", "-z", "stack-size=1048576"].map((word) => `-Wl,${word}`);
  const built = [...target, ...linked];
  const hindered = compile("clang", [...built, "-x", "c"], join(folder, "probe"), "/dev/null");
  if (hindered !== undefined) return hindered;
  const programs: Program[] = [];
  const all = CHANGES.map(([macro]) => macro);
  for (const [name, macros] of [
    ["as it is", []],
    ...CHANGES.map(([macro, name]) => [name, [macro]] as const),
    ["all of that", all],
  ] as const) {
    const file = join(folder, `changed-${programs.length}.wasm`);
    const failed = compile("clang", [...built, ...macros.map((macro) => `-D${macro}`)], file);
    if (failed !== undefined) throw new Error(failed);
    const batched = macros.some((macro) => macro === "BATCHES");
    const words = [here, "--wasm", file, batched ? "batched" : "whole"];
    programs.push({ name: `C in WebAssembly, ${name}`, plain: false, command: process.execPath, words });
  }
  return programs;
}

/** Compiles the program, measures all in turn and prints a line for each. */
function compare(folder: string, records: number, rounds: number, passes: number, changes: boolean): void {
  const programs: Program[] = [];
  for (const [name, plain, flags] of [
    ["C, all of the model", false, []],
    ["C, without states and nodes", true, ["-DPLAIN"]],
  ] as const) {
    const command = join(folder, plain ? "plain" : "full");
    const hindered = compile("cc", flags, command);
    if (hindered?.includes("ENOENT")) {
      console.log("skipped: no C compiler here (cc)");
      return;
    }
    if (hindered !== undefined) throw new Error(hindered);
    programs.push({ name, plain, command, words: [] });
  }
  const more = changes ? changed(folder) : [];
  if (typeof more === "string")
    console.log(`no WebAssembly of C: clang with a linker for it is needed (${more.trim()})`);
  else programs.push(...more);
  const stream = join(folder, "stream");
  const width = 25 + Math.max(...programs.map(({ name }) => name.length));
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
        for (const { name, plain, command, words } of programs) {
          const run = measured(command, [...words, inclusion, stream, String(passes)]);
          if (plain) same(`${mix}, ${inclusion}, ${name}`, withoutNodes(run.counts), withoutNodes(model.counts));
          else same(`${mix}, ${inclusion}, ${name}`, run.counts, model.counts);
          note(`${inclusion} ${name}`, run.ns);
        }
      }
    for (const inclusion of INCLUSIONS) {
      const mine = HOWS.map((how) => median(times.get(`${inclusion} ${how}`)!));
      const line = (what: string, values: readonly number[]): void => {
        const ns = median(values);
        const spread = (Math.max(...values) / Math.min(...values) - 1) * 100;
        const speed = (1000 / ns).toFixed(1).padStart(6);
        console.log(
          `${what.padEnd(width)} ${speed} M/s   ours ${mine.map((own) => (ns / own).toFixed(2)).join(" and ")} of it   +-${spread.toFixed(0)} %`,
        );
      };
      for (const how of HOWS) line(`${mix}, L3 ${inclusion}: ours, ${how}`, times.get(`${inclusion} ${how}`)!);
      for (const { name } of programs) line(`${mix}, L3 ${inclusion}: ${name}`, times.get(`${inclusion} ${name}`)!);
    }
  }
  console.log("every count of the programs is the model's");
}

const words = process.argv.slice(2);
if (words[0] === "--ours")
  console.log(JSON.stringify(ours(words[1] as Inclusion, words[2]!, Number(words[3]), words[4] as How)));
else if (words[0] === "--wasm")
  console.log(
    JSON.stringify(ofWasm(words[1]!, words[2] === "batched", words[3] as Inclusion, words[4]!, Number(words[5]))),
  );
else {
  const changes = words[3] === "changes";
  const [records = 20_000_000, rounds = 5, passes = 3] = words.slice(0, changes ? 3 : undefined).map(Number);
  if (
    ![records / 2, rounds, passes].every((count) => Number.isInteger(count) && count > 0) ||
    (words.length > 3 && !changes)
  ) {
    process.stderr.write(
      "usage: npm run micro -- limit [RECORDS] [ROUNDS] [PASSES] [changes]\nRECORDS is even; all are above 0\n",
    );
    process.exit(2);
  }
  const folder = mkdtempSync(join(tmpdir(), "kreplica-limit-"));
  try {
    compare(folder, records, rounds, passes, changes);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
