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
  lineCounts,
  nearGain,
  total,
  type TraceMeasurement,
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

/**
 * Rows of each cell that is wanted, in the order of {@link Batch.wanted}: caches hot and cold.
 * @throws InputError where the recording or the kernel cannot be used
 */
export async function measureBatch({ specs, policies, wanted, ...job }: Batch): Promise<Row[][]> {
  const [spec, ...alsoPriced] = specs;
  const kernel = await replayKernel(job);
  const given = { ...job, spec: spec!, alsoPriced, alignment: "patch-06" as const };
  const [single, ...others] = measureFile({ ...given, policies: [singleCopy, ...policies] }, kernel);
  const common = jobKernel(given, kernel);
  const node = spec!.cpus.find(({ id }) => id === job.where.cpu)!.node;
  const nearest = policies.map((policy) => boot(common.with({ policy: policyOf(policy) })).view.nearest(node));
  return wanted.map(([at, policy]) => {
    const machine = specs[at]!;
    const place = {
      nodeIndex: indexOf(machine, node),
      far: indexOf(machine, job.where.masterNode),
      near: indexOf(machine, nearest[policy]!),
    };
    return rowsOf(single!, pricedAt(single!, at), pricedAt(others[policy]!, at), machine, place);
  });
}

const pricedAt = (of: TraceMeasurement, at: number): HotCold => (at === 0 ? of : of.priced[at - 1]!);

/** What a measured cell says. */
function rowsOf(
  { calls, references, modelled }: TraceMeasurement,
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
