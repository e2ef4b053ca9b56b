/**
 * What replication gains a mix of system calls: recordings weighted by how often a program makes the calls they are of.
 * Counts and gains in, percent out.
 */
import type { CallCount } from "@kreplica/inputs";
import type { Comparison } from "./compare.js";
import type { Gain } from "./gain.js";
import type { Mix, MixResult } from "./mix-figures.js";
import type { CacheState, WholeMachine } from "./whole-machine.js";

/** Which calls a recording is of. */
export interface RecordedCalls {
  /** Keys of tests, the first that was compared counts. */
  readonly tests: readonly string[];
  /** Each of these is one iteration of the recording. */
  readonly leading: readonly string[];
  /** Part of an iteration too: of each as many as there are leading calls. */
  readonly following: readonly string[];
}

/**
 * In the order in which they take calls: what mlock takes with it is not mmap's any more. A fork is the single one
 * where it was compared, for in the loop only the first of 1024 is cold.
 */
export const RECORDED_CALLS: readonly RecordedCalls[] = [
  { tests: ["fork1", "forkN"], leading: ["fork", "vfork", "clone", "clone3"], following: [] },
  { tests: ["mlock"], leading: ["mlock", "mlock2"], following: ["mmap", "munmap"] },
  { tests: ["mmap"], leading: ["mmap", "mmap2"], following: ["munmap"] },
  { tests: ["open"], leading: ["open", "openat", "openat2", "creat"], following: ["close"] },
  { tests: ["kill"], leading: ["kill", "tkill", "tgkill"], following: [] },
  { tests: ["mount"], leading: ["mount"], following: [] },
];

/** Whether any recording there could be is of one of these calls. */
export const hasRecordedCall = (calls: readonly CallCount[]): boolean =>
  calls.some(({ name, calls: made }) => made > 0 && RECORDED_CALLS.some(({ leading }) => leading.includes(name)));

/** A test in one state of the caches, on some CPU. */
interface Run {
  readonly file: string;
  readonly cache: CacheState;
  readonly gain: Gain;
  /** Cycles of the whole recording with one copy. */
  readonly singleCycles: number;
}

/** @param tests of the CPU looked at @param machine all nodes, where they were measured */
export function mixGain(mix: Mix, tests: readonly Comparison[], machine: WholeMachine | undefined): MixResult {
  const left = new Map(mix.calls.map(({ name, calls }) => [name, calls]));
  const take = (name: string, most: number): number => {
    const taken = Math.min(most, left.get(name) ?? 0);
    if (taken > 0) left.set(name, left.get(name)! - taken);
    return taken;
  };
  const used = RECORDED_CALLS.flatMap(({ tests: keys, leading, following }) => {
    const found = keys
      .map((key) => tests.find((each) => each.test.key === key && each.counted))
      .find((each) => each !== undefined);
    if (!found) return [];
    const iterations = leading.reduce((sum, name) => sum + take(name, Infinity), 0);
    const calls = following.reduce((sum, name) => sum + take(name, iterations), iterations);
    return iterations === 0 ? [] : [{ of: found, iterations, calls }];
  });
  const shares = { cold: mix.coldShare, hot: 1 - mix.coldShare };
  /** Gain over `runs`, and cycles of each test in it. */
  const over = (
    runs: readonly Run[],
  ): { readonly gain: Gain; readonly cycles: readonly number[]; readonly gains: readonly number[] } => {
    const parts = used.map(({ of, iterations }) => {
      const sum = { cycles: 0, percent: 0, low: 0, high: 0 };
      for (const { file, cache, gain, singleCycles } of runs) {
        if (file !== of.file) continue;
        const cycles = (singleCycles / of.iterations) * iterations * shares[cache];
        sum.cycles += cycles;
        sum.percent += cycles * gain.percent;
        sum.low += cycles * gain.low;
        sum.high += cycles * gain.high;
      }
      return sum;
    });
    const all = parts.reduce((sum, { cycles }) => sum + cycles, 0);
    const mean = (which: "percent" | "low" | "high"): number =>
      all === 0 ? 0 : parts.reduce((sum, each) => sum + each[which], 0) / all;
    return {
      gain: { percent: mean("percent"), low: mean("low"), high: mean("high") },
      cycles: parts.map(({ cycles }) => cycles),
      gains: parts.map(({ cycles, percent }) => (cycles === 0 ? 0 : percent / cycles)),
    };
  };
  const here = over(tests.map((each) => ({ ...each, singleCycles: each.singleCopy.cycles })));
  const nodes = (machine?.nodes ?? []).map((each) => ({ ...each, gain: over(each.tests).gain }));
  const sum = here.cycles.reduce((all, each) => all + each, 0);
  const total = mix.calls.reduce((all, { calls }) => all + calls, 0);
  const uncovered = uncoveredOf(mix.calls, left);
  const time = timeOf(mix.calls);
  return {
    ...mix,
    tests: used.map(({ of, iterations, calls }, nth) => ({
      test: of.test,
      file: of.file,
      iterations,
      calls,
      weight: sum === 0 ? 0 : here.cycles[nth]! / sum,
      gain: here.gains[nth]!,
    })),
    total,
    covered: total - uncovered.reduce((all, { calls }) => all + calls, 0),
    uncovered,
    coveredTime: time === undefined || time === 0 ? undefined : 1 - timeOf(uncovered)! / time,
    gain: used.length === 0 ? undefined : nodes.length === 0 ? here.gain : meanOf(nodes),
    nodes: used.length === 0 ? [] : nodes.map(({ node, cpus, gain }) => ({ node, cpus, gain: gain.percent })),
  };
}

function uncoveredOf(calls: readonly CallCount[], left: ReadonlyMap<string, number>): CallCount[] {
  return calls
    .flatMap(({ name, calls: made, seconds }): CallCount[] => {
      const rest = left.get(name)!;
      if (rest === 0) return [];
      return [{ name, calls: rest, ...(seconds === undefined ? {} : { seconds: (seconds * rest) / made }) }];
    })
    .sort((a, b) => (b.seconds ?? 0) - (a.seconds ?? 0) || b.calls - a.calls || (a.name < b.name ? -1 : 1));
}

/** Seconds; undefined where one has none. */
const timeOf = (calls: readonly CallCount[]): number | undefined =>
  calls.reduce<number | undefined>(
    (sum, { seconds }) => (sum === undefined || seconds === undefined ? undefined : sum + seconds),
    0,
  );

function meanOf(nodes: readonly { readonly cpus: number; readonly gain: Gain }[]): Gain {
  const all = nodes.reduce((sum, { cpus }) => sum + cpus, 0);
  const mean = (which: keyof Gain): number =>
    nodes.reduce((sum, { cpus, gain }) => sum + (cpus / all) * gain[which], 0);
  return { percent: mean("percent"), low: mean("low"), high: mean("high") };
}
