/**
 * One workload on one kernel beside other CPUs' data, caches cold and hot. Hot is a mean: what the data take out of the
 * last-level cache goes once in so many runs, and a single run would show none of it, or all.
 */
import type { MachineSpec } from "@kreplica/hw-x86";
import type { CpuId } from "@kreplica/hw-x86/api";
import type { Booted } from "@kreplica/kernel";
import { ForeignStream, linesOf, otherCores, type Pressure } from "../replay/foreign-stream.js";
import { PressedReplayer } from "../replay/pressed-replayer.js";
import { Replayer, type Workload } from "../replay/replayer.js";
import { RunSum } from "../replay/run-sum.js";
import { pricingOf } from "./causes.js";

/** Times that the stream fills the cache before runs count as hot, the cold run included. */
const WARM_UP = 2;
/** Times that it fills it while they count. */
const COUNTED = 2;
/** Runs after which the mean is taken as it is. */
export const MOST_PRESSED_RUNS = 2048;

/** Who replays, and beside what. */
export interface Pressed {
  readonly spec: MachineSpec;
  /** None: a plain replayer. */
  readonly pressure?: Pressure | undefined;
  readonly seed: number;
}

/**
 * A replayer of the workload, with the stream where there is one.
 *
 * @param nodeIndex of the CPU's node in `spec.nodes`
 * @param whole the workload, none of it left out
 */
export function replayerBeside(
  { spec, pressure, seed }: Pressed,
  nodeIndex: number,
  booted: Booted,
  cpu: CpuId,
  vcpu: number,
  others: (vcpu: number) => CpuId,
  whole: Workload,
): Replayer {
  // Behind a cache of its own a core has no neighbours to press it.
  if (!pressure || otherCores(spec, cpu).length === 0) return new Replayer(booted, cpu, vcpu, others);
  const stream = new ForeignStream(booted.machine, cpu, pressure, seed);
  return new PressedReplayer(booted, cpu, vcpu, others, stream, pricingOf(spec, nodeIndex).price, whole);
}

/**
 * Cold: the first run after every cache was emptied, the stream beginning with it. Hot: the mean of the runs in which
 * the stream fills the last-level cache twice, after it has done so twice.
 */
export function measurePressed(replayer: PressedReplayer, workload: Workload) {
  const { stream } = replayer;
  const lines = linesOf(replayer.booted.machine.spec);
  replayer.chill();
  const start = stream.inserted;
  const cold = replayer.run(workload);
  const coldLines = stream.inserted - start;
  let runs = 1;
  const half = MOST_PRESSED_RUNS / 2;
  for (; stream.inserted - start < WARM_UP * lines && runs < half; runs++) replayer.run(workload);
  const warm = stream.inserted - start >= WARM_UP * lines;
  const from = stream.inserted;
  let last = replayer.run(workload);
  const sum = new RunSum(last);
  while (stream.inserted - from < COUNTED * lines && sum.runs < half) {
    last = replayer.run(workload);
    sum.add(last);
  }
  const counted = stream.inserted - from;
  const mean = sum.mean();
  return {
    cold: cold.counters,
    hot: mean.counters,
    windows: { cold: cold.windows, hot: mean.windows },
    work: { cold: cold.work, hot: last.work },
    runs: runs + sum.runs,
    settled: warm && counted >= COUNTED * lines,
    foreignLines: { cold: coldLines, hot: counted / sum.runs },
  };
}
