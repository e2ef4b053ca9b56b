/** Layouts of a comparison: its tests run in each, and how far its gains spread over them. */
import { InputError } from "@kreplica/inputs";
import type { KernelJob } from "../measure/kernel-job.js";
import type { TraceJob } from "../measure/measure-trace.js";
import { type MachineNodes, type Pair, STATES } from "../measure/whole-machine.js";
import { type LaidPair, laidPair, LayoutSpread, type Sides } from "./layout-spread.js";
import { AS_LINKED, type LayoutJob, type LayoutRun } from "./measure-layouts.js";

/**
 * Runs jobs: {@link measureLayouts} one after the other, or in workers.
 *
 * @returns for each job what its policies counted in each layout, or why its recording was refused
 */
export type LayoutRunner<Job extends LayoutJob = LayoutJob> = (
  jobs: readonly Job[],
) => Promise<readonly (readonly (readonly LayoutRun[])[] | InputError)[]>;

/** Layouts that are asked for. */
export interface LayoutRequest<Job extends LayoutJob = LayoutJob> {
  /** How many beside the one as linked; at least 1. */
  readonly count: number;
  /** Any integer: the same layouts again. */
  readonly seed: number;
  readonly run: LayoutRunner<Job>;
}

/** What was drawn. */
export interface DrawnLayouts {
  readonly count: number;
  readonly seed: number;
  /**
   * Most by which a gain of the CPU looked at, told from the part of a long test that is run in each layout, differs
   * from the whole test's, percentage points; undefined where all were run whole.
   */
  readonly sampling: number | undefined;
}

/**
 * @param jobs of the comparison whose recordings could be measured
 * @param compared what they came to
 */
export async function drawLayouts<Given extends KernelJob>(
  { count, seed, run }: LayoutRequest<Given & LayoutJob>,
  jobs: readonly (Given & TraceJob)[],
  { nodes, pairs, sides }: { readonly nodes: MachineNodes; readonly pairs: readonly Pair[]; readonly sides: Sides },
): Promise<{
  readonly spread: LayoutSpread;
  readonly layouts: DrawnLayouts;
  readonly refused: readonly InputError[];
}> {
  const numbers = Array.from({ length: count + 1 }, (_, number) => AS_LINKED + number);
  const outcomes = await run(
    jobs.map((job) => ({ ...job, unaligned: false, located: false, layouts: { seed, numbers } })),
  );
  const laid = new Map<string, LaidPair>();
  const refused: InputError[] = [];
  outcomes.forEach((outcome, nth) => {
    if (outcome instanceof InputError) {
      refused.push(outcome);
      return;
    }
    const pair = laidPair(outcome);
    if (pair) laid.set(jobs[nth]!.file, pair);
  });
  const spread = new LayoutSpread(nodes, laid, sides);
  const errors = pairs.flatMap((pair) =>
    pair.single.sampled ? STATES.flatMap((cache) => spread.errorOf(pair, cache) ?? []) : [],
  );
  return {
    spread,
    layouts: { count, seed, sampling: errors.length === 0 ? undefined : Math.max(...errors) },
    refused,
  };
}
