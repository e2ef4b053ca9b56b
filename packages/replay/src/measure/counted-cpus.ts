/**
 * CPUs that run workloads at once until what they count has settled, and what each counted: all the same recording, or
 * some of them another beside it.
 *
 * Where another recording runs, a single hot run would show none of what it takes out of a cache, or all: hot is then
 * the mean of whole runs, over as long as every CPU takes for one.
 */
import type { CpuId, MachineSpec } from "@kreplica/hw-x86";
import { CycleClock } from "../replay/cycle-clock.js";
import type { FrameLists } from "../replay/frame-lists.js";
import { interleave, RunningCpu } from "../replay/interleaved.js";
import type { Replayer, Run, Workload } from "../replay/replayer.js";
import { RunSum } from "../replay/run-sum.js";
import { SampledRun, shareOf, wholeOf } from "../replay/sampled-run.js";
import { pricingOf } from "./causes.js";
import { hasSettled, MOST_RUNS } from "./hot-cold.js";
import { indexOf } from "./placement.js";

/** What one CPU counted. */
export interface BusyCount {
  readonly cpu: CpuId;
  /** First run, begun by all at once with every cache empty. */
  readonly cold: Float64Array;
  /** A run that settled while all others went on; beside a neighbour the mean of the runs that follow. */
  readonly hot: Float64Array;
  /** Runs until then, the cold one and those of a mean included. */
  readonly runs: number;
  readonly settled: boolean;
}

/** A CPU's replayer and what it runs. */
export type WorkingCpu = readonly [replayer: Replayer, workload: Workload];

/**
 * Runs all of them at once.
 *
 * @param neighbours who run something else: what they count is told from their first whole run on
 * @param lists of the kernel's frames, told whose turn it is
 * @returns what each counted, by CPU
 */
export function countTogether(
  spec: MachineSpec,
  runners: readonly WorkingCpu[],
  neighbours: readonly WorkingCpu[] = [],
  lists?: FrameLists,
): { readonly counts: BusyCount[]; readonly beside: BusyCount[] } {
  const counted = runners.map(([replayer, workload]) => new CountedCpu(spec, replayer, workload, MOST_RUNS));
  const others = neighbours.map(([replayer, workload]) => new CountedCpu(spec, replayer, workload, 1));
  const all = [...counted, ...others];
  runners[0]![0].chill();
  const until = (enough: (each: CountedCpu) => boolean): void => {
    interleave(
      all.map(({ running }) => running),
      () => all.every(enough),
      ({ replayer }) => {
        if (lists) lists.current = replayer.cpu;
      },
    );
  };
  until(({ warm }) => warm);
  if (others.length > 0) {
    for (const each of all) each.beginMean();
    until(({ meant }) => meant);
  }
  const byCpu = (cpus: readonly CountedCpu[]): BusyCount[] =>
    cpus.map((each) => each.count()).sort((a, b) => a.cpu - b.cpu);
  return { counts: byCpu(counted), beside: byCpu(others) };
}

/** A CPU that runs until it has settled, and then goes on. */
class CountedCpu {
  readonly running: RunningCpu;
  private runs = 0;
  private cold: Run | undefined;
  private before: Run | undefined;
  private hot: Pick<Run, "counters" | "windows"> | undefined;
  private runsWhenWarm = 0;
  private settled = false;
  /** Undefined: nobody asked for a mean. The run that is under way when somebody does is not in it. */
  private mean: RunSum | "from the next run on" | "of this run on" | undefined;
  private readonly nodeIndex: number;
  private readonly instructions: Float64Array;
  private readonly share: number;

  /** @param most runs after which it is warm, settled or not */
  constructor(
    private readonly spec: MachineSpec,
    private readonly replayer: Replayer,
    private readonly workload: Workload,
    private readonly most: number,
  ) {
    this.nodeIndex = indexOf(spec, replayer.booted.machine.nodeOfCpu(replayer.cpu));
    const clock = new CycleClock(replayer, pricingOf(spec, this.nodeIndex).price, workload);
    this.instructions = replayer.instructionsOf(workload);
    this.share = shareOf(workload);
    this.running = new RunningCpu(replayer, this.share === 1 ? workload : new SampledRun(workload), clock, (run) => {
      this.ended(run);
    });
  }

  /** It has settled, or made as many runs as it may. */
  get warm(): boolean {
    return this.hot !== undefined;
  }

  /** Whole runs from here on are counted. */
  beginMean(): void {
    this.mean = "from the next run on";
  }

  /** One of them has ended. */
  get meant(): boolean {
    return this.mean instanceof RunSum;
  }

  count(): BusyCount {
    const cold = this.cold!;
    const hot = this.mean instanceof RunSum ? this.mean.mean() : this.hot!;
    return {
      cpu: this.replayer.cpu,
      ...(this.share === 1
        ? { cold: cold.counters, hot: hot.counters }
        : wholeOf({ cold: cold.windows, hot: hot.windows }, this.workload, this.instructions)),
      runs: this.mean instanceof RunSum ? this.runs : this.runsWhenWarm,
      settled: this.settled,
    };
  }

  private ended(run: Run): void {
    this.runs++;
    if (this.mean instanceof RunSum) this.mean.add(run);
    else if (this.mean === "of this run on") this.mean = new RunSum(run);
    else if (this.mean !== undefined) this.mean = "of this run on";
    if (this.warm) return;
    const { before } = this;
    this.before = run;
    this.cold ??= run;
    this.settled = before !== undefined && hasSettled(run, before, this.spec, this.nodeIndex);
    if (!this.settled && this.runs < this.most) return;
    this.hot = run;
    this.runsWhenWarm = this.runs;
  }
}
