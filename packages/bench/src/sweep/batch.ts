/**
 * Cells of a sweep that share a replay, measured together: one recording on kernels that differ in their policy, priced
 * for machines that differ in latencies, costs and load. Plain data in and out, so that it can run in a worker.
 */
import type { MachineSpec } from "@kreplica/hw-x86";
import { boot, policyOf } from "@kreplica/kernel";
import { singleCopy } from "@kreplica/mm-core";
import {
  bound,
  boundBeyondL2,
  busyAlone,
  cycleAccount,
  gain,
  indexOf,
  jobKernel,
  type KernelJob,
  lineCounts,
  measureLayouts,
  nearGain,
  total,
} from "@kreplica/replay";
import type { Row } from "@kreplica/sweep";
import { type NamedKernels, replayKernel } from "../inputs/replay-kernel.js";
import { recordedRun } from "../inputs/trace-file.js";
import { measureFile } from "../run-jobs.js";
import type { Layout } from "./cells.js";
import { loadAt } from "./place-axes.js";

/** What is measured at once. */
export interface Batch extends Omit<KernelJob, "spec">, NamedKernels {
  readonly file: string;
  /** Machines that count alike. */
  readonly specs: readonly MachineSpec[];
  /** Other traffic on each of them, as `--load` has it; null on an idle one. As many as machines. */
  readonly loads: readonly (string | null)[];
  /** One that is drawn, on one machine; null where nothing is moved. */
  readonly layout: Layout | null;
  /** By name. */
  readonly policies: readonly string[];
  /** What is wanted of it: indices of machine and policy. */
  readonly wanted: readonly (readonly [spec: number, policy: number])[];
  readonly inPart: boolean;
}

/** Cells that are done: places in {@link Batch.wanted}, and rows with caches hot and cold. */
export type BatchCells = readonly (readonly [at: number, rows: readonly Row[]])[];

/** Of a kernel's run: what a row is made of. */
interface Counted {
  readonly cold: Float64Array;
  readonly hot: Float64Array;
  readonly runs: number;
  readonly settled: boolean;
}

/** Of the recording: null where a run in a layout does not tell. */
interface Recorded {
  readonly calls: number | null;
  readonly references: number | null;
  readonly modelled: boolean | null;
}

/**
 * Measures every cell that is wanted.
 *
 * @param keep takes the cells of a policy as soon as it is measured, before the next one is
 * @throws InputError where the recording or the kernel cannot be used
 */
export async function measureBatch(
  { specs, loads, layout, policies, wanted, ...job }: Batch,
  keep: (cells: BatchCells) => void,
): Promise<void> {
  const [spec, ...alsoPriced] = specs;
  const kernel = await replayKernel(job);
  const given = { ...job, spec: spec!, alignment: "patch-06" as const };
  const common = jobKernel(given, kernel);
  const node = spec!.cpus.find(({ id }) => id === job.where.cpu)!.node;
  const nearest = policies.map((policy) => boot(common.with({ policy: policyOf(policy) })).view.nearest(node));
  const kernels = [singleCopy, ...policies];
  const tell = (
    policy: number,
    recorded: Recorded,
    one: (at: number) => Counted,
    copies: (at: number) => Counted,
  ): void => {
    keep(
      wanted.flatMap(([at, of], nth) => {
        if (of !== policy) return [];
        const machine = specs[at]!;
        const place = {
          nodeIndex: indexOf(machine, node),
          far: indexOf(machine, job.where.masterNode),
          near: indexOf(machine, nearest[policy]!),
        };
        return [[nth, rowsOf(recorded, one(at), copies(at), machine, place, loads[at] ?? null)] as const];
      }),
    );
  };
  if (layout !== null) {
    const laid = { ...given, policies: kernels, layouts: { seed: layout.seed, numbers: [layout.number] } };
    const [one, ...copies] = measureLayouts(laid, recordedRun(job.file), kernel).map(([run]) => run!.runs[0]!);
    const untold = { calls: null, references: null, modelled: null };
    for (const [policy, each] of copies.entries())
      tell(
        policy,
        untold,
        () => one!,
        () => each,
      );
    return;
  }
  let single: ((at: number) => Counted) | undefined;
  let policy = 0;
  measureFile({ ...given, alsoPriced, policies: kernels }, kernel, (measurement) => {
    const pricedAt = (at: number): Counted => (at === 0 ? measurement : measurement.priced[at - 1]!);
    if (single === undefined) {
      single = pricedAt;
      return;
    }
    const { calls, references, modelled } = measurement;
    tell(policy++, { calls: calls ?? null, references, modelled }, single, pricedAt);
  });
}

/** What a measured cell says. */
function rowsOf(
  { calls, references, modelled }: Recorded,
  one: Counted,
  copies: Counted,
  idle: MachineSpec,
  place: { readonly nodeIndex: number; readonly far: number; readonly near: number },
  load: string | null,
): Row[] {
  return (["hot", "cold"] as const).map((cache): Row => {
    const counts = [one[cache], copies[cache]] as const;
    // Each side finds the machine as busy as it makes it itself.
    const [spec, after] = load === null ? [idle, idle] : busyAlone(idle, loadAt(load, idle), place.nodeIndex, counts);
    const [before, behind] = [
      cycleAccount(counts[0], spec, place.nodeIndex),
      cycleAccount(counts[1], after, place.nodeIndex),
    ];
    const lines = lineCounts(one[cache], spec.nodes.length);
    const { percent, low, high } = gain(counts[0], counts[1], spec, place.nodeIndex, after);
    return {
      cache,
      gainPercent: percent,
      gainLowPercent: low,
      gainHighPercent: high,
      nearPercent: nearGain(counts[0], counts[1], spec, place, {}, after),
      boundPercent: bound(one[cache], spec, place),
      boundBeyondL2Percent: boundBeyondL2(one[cache], spec, place),
      cyclesOneCopy: before.cycles,
      cycles: behind.cycles,
      textCyclesOneCopy: total(before.account.text),
      textCycles: total(behind.account.text),
      rodataCyclesOneCopy: total(before.account.rodata),
      rodataCycles: total(behind.account.rodata),
      walkCyclesOneCopy: total(before.account.walks),
      walkCycles: total(behind.account.walks),
      replicationCycles: behind.account.replication,
      textLinesFromMemory: lines.textFromMemory,
      replicableLines: lines.replicable,
      dataLinesFromMemory: lines.dataFromMemory,
      calls,
      references,
      modelled,
      runs: cache === "cold" ? 1 : Math.max(one.runs, copies.runs),
      settled: cache === "cold" || (one.settled && copies.settled),
    };
  });
}
