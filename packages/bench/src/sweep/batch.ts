/**
 * Cells of a sweep that share a replay, measured together: one recording on kernels that differ in their policy, priced
 * for machines that differ in latencies and costs. Plain data in and out, so that it can run in a worker.
 */
import type { MachineSpec } from "@kreplica/hw-x86";
import { boot, policyOf } from "@kreplica/kernel";
import { singleCopy } from "@kreplica/mm-core";
import {
  bound,
  boundBeyondL2,
  cycleAccount,
  gain,
  type HotCold,
  indexOf,
  jobKernel,
  type KernelJob,
  type KernelMeasurement,
  lineCounts,
  nearGain,
  total,
} from "@kreplica/replay";
import type { Row } from "@kreplica/sweep";
import { type NamedKernels, replayKernel } from "../inputs/replay-kernel.js";
import { measureFile } from "../run-jobs.js";

/** What is measured at once. */
export interface Batch extends Omit<KernelJob, "spec">, NamedKernels {
  readonly file: string;
  /** Machines that count alike. */
  readonly specs: readonly MachineSpec[];
  /** By name. */
  readonly policies: readonly string[];
  /** What is wanted of it: indices of machine and policy. */
  readonly wanted: readonly (readonly [spec: number, policy: number])[];
  readonly inPart: boolean;
}

/** Cells that are done: places in {@link Batch.wanted}, and rows with caches hot and cold. */
export type BatchCells = readonly (readonly [at: number, rows: readonly Row[]])[];

/**
 * Measures every cell that is wanted.
 *
 * @param keep takes the cells of a policy as soon as it is measured, before the next one is
 * @throws InputError where the recording or the kernel cannot be used
 */
export async function measureBatch(
  { specs, policies, wanted, ...job }: Batch,
  keep: (cells: BatchCells) => void,
): Promise<void> {
  const [spec, ...alsoPriced] = specs;
  const kernel = await replayKernel(job);
  const given = { ...job, spec: spec!, alsoPriced, alignment: "patch-06" as const };
  const common = jobKernel(given, kernel);
  const node = spec!.cpus.find(({ id }) => id === job.where.cpu)!.node;
  const nearest = policies.map((policy) => boot(common.with({ policy: policyOf(policy) })).view.nearest(node));
  let single: KernelMeasurement | undefined;
  let policy = 0;
  measureFile({ ...given, policies: [singleCopy, ...policies] }, kernel, (measurement) => {
    if (single === undefined) {
      single = measurement;
      return;
    }
    const one = single;
    keep(
      wanted.flatMap(([at, of], nth) => {
        if (of !== policy) return [];
        const machine = specs[at]!;
        const place = {
          nodeIndex: indexOf(machine, node),
          far: indexOf(machine, job.where.masterNode),
          near: indexOf(machine, nearest[policy]!),
        };
        return [[nth, rowsOf(one, pricedAt(one, at), pricedAt(measurement, at), machine, place)] as const];
      }),
    );
    policy++;
  });
}

const pricedAt = (of: KernelMeasurement, at: number): HotCold => (at === 0 ? of : of.priced[at - 1]!);

/** What a measured cell says. */
function rowsOf(
  { calls, references, modelled }: KernelMeasurement,
  one: HotCold,
  copies: HotCold,
  spec: MachineSpec,
  place: { readonly nodeIndex: number; readonly far: number; readonly near: number },
): Row[] {
  return (["hot", "cold"] as const).map((cache): Row => {
    const [before, after] = [one, copies].map((each) => cycleAccount(each[cache], spec, place.nodeIndex));
    const lines = lineCounts(one[cache], spec.nodes.length);
    const { percent, low, high } = gain(one[cache], copies[cache], spec, place.nodeIndex);
    return {
      cache,
      gainPercent: percent,
      gainLowPercent: low,
      gainHighPercent: high,
      nearPercent: nearGain(one[cache], copies[cache], spec, place),
      boundPercent: bound(one[cache], spec, place),
      boundBeyondL2Percent: boundBeyondL2(one[cache], spec, place),
      cyclesOneCopy: before!.cycles,
      cycles: after!.cycles,
      textCyclesOneCopy: total(before!.account.text),
      textCycles: total(after!.account.text),
      rodataCyclesOneCopy: total(before!.account.rodata),
      rodataCycles: total(after!.account.rodata),
      walkCyclesOneCopy: total(before!.account.walks),
      walkCycles: total(after!.account.walks),
      replicationCycles: after!.account.replication,
      textLinesFromMemory: lines.textFromMemory,
      replicableLines: lines.replicable,
      dataLinesFromMemory: lines.dataFromMemory,
      calls: calls ?? null,
      references,
      modelled,
      runs: cache === "cold" ? 1 : Math.max(one.runs, copies.runs),
      settled: cache === "cold" || (one.settled && copies.settled),
    };
  });
}
