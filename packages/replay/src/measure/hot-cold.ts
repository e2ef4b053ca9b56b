/** One workload on one kernel, caches cold and hot. */
import { account, type MachineSpec } from "@kreplica/hw-x86";
import { PressedReplayer } from "../replay/pressed-replayer.js";
import type { Replayer, Run, WindowCounts, Workload } from "../replay/replayer.js";
import type { WorkDone } from "../replay/replication-work.js";
import { measurePressed } from "./pressed.js";

/** A run has settled when the cycles of its second half differ from the run before by less than this part of a run. */
const SETTLED = 0.001;
/** A run that has not settled by then is reported as it is. */
export const MOST_RUNS = 8;

/** Whether a run has settled, by the run before. @param nodeIndex of the CPU's node in `spec.nodes` */
export function hasSettled(now: Run, before: Run, spec: MachineSpec, nodeIndex: number): boolean {
  const cycles = (counters: Float64Array): number => account(counters, spec, nodeIndex).cycles;
  return Math.abs(cycles(now.secondHalf) - cycles(before.secondHalf)) <= SETTLED * cycles(now.counters);
}

/** Counters of the measured CPU. */
export interface HotCold {
  readonly cold: Float64Array;
  readonly hot: Float64Array;
  /** What of these runs happened in the workload's windows. */
  readonly windows: { readonly cold: WindowCounts; readonly hot: WindowCounts };
  /** What replication did in these runs. */
  readonly work: { readonly cold: WorkDone; readonly hot: WorkDone };
  /** Runs made in all, the cold one included. */
  readonly runs: number;
  readonly settled: boolean;
  /** Lines that other CPUs' data brought into the last-level cache during one run; absent where there are none. */
  readonly foreignLines?: { readonly cold: number; readonly hot: number };
}

/**
 * Cold: the first run after every cache, TLB and paging-structure cache of the machine was emptied. Hot: runs follow
 * one another until one has settled, which is the one reported. Second halves are compared, because the first half of a
 * long loop's first run is where a cold start shows. Beside other CPUs' data: {@link measurePressed}.
 */
export const measureHotCold = (
  replayer: Replayer,
  workload: Workload,
  spec: MachineSpec,
  nodeIndex: number,
  ran: () => void = () => undefined,
): HotCold => measureHotColdAt(replayer, workload, [spec], nodeIndex, ran)[0]!;

/**
 * The same for machines that count alike and differ in what an event costs: runs are made until the last of them has
 * settled, and each gets what it would have got alone.
 *
 * @param specs what events cost; all else in them is as in the replayer's machine
 */
export function measureHotColdAt(
  replayer: Replayer,
  workload: Workload,
  specs: readonly MachineSpec[],
  nodeIndex: number,
  ran: () => void = () => undefined,
): HotCold[] {
  if (replayer instanceof PressedReplayer) {
    const beside = measurePressed(replayer, workload);
    return specs.map(() => beside);
  }
  replayer.chill();
  const cold = replayer.run(workload);
  ran();
  // The same machine may stand there twice, under two loads say.
  const wanted = new Set(specs);
  const found = new Map<MachineSpec, HotCold>();
  let before: Run = cold;
  for (let runs = 2; found.size < wanted.size; runs++) {
    const now = replayer.run(workload);
    ran();
    for (const spec of wanted) {
      if (found.has(spec)) continue;
      const settled = hasSettled(now, before, spec, nodeIndex);
      if (settled || runs === MOST_RUNS)
        found.set(spec, {
          cold: cold.counters,
          hot: now.counters,
          windows: { cold: cold.windows, hot: now.windows },
          work: { cold: cold.work, hot: now.work },
          runs,
          settled,
        });
    }
    before = now;
  }
  return specs.map((spec) => found.get(spec)!);
}
