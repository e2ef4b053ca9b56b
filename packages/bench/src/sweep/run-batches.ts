/**
 * Runs a sweep's batches in workers, where the built worker lies beside this file, and one after the other where it
 * does not (from source). Same results, whatever their number; in the order in which they are done.
 */
import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { InputError, type InputFault } from "@kreplica/inputs";
import type { DoneCell, Row } from "@kreplica/sweep";
import type { MachineSpec } from "@kreplica/hw-x86";
import { isLongRun } from "../inputs/trace-file.js";
import { inWorkers } from "../worker-pool.js";
import { type Batch, measureBatch } from "./batch.js";
import type { Cell } from "./cells.js";

/** What a worker says of the batch it was sent. */
export type BatchAnswer =
  { readonly kind: "rows"; readonly rows: Row[][] } | { readonly kind: "bad-input"; readonly fault: InputFault };

/** The worker's file name in dist; an entry of tsup.config.ts. */
const WORKER = "sweep-worker.js";
/** A long run takes about so many times what another recording of its size does, whole and in part. */
const LONG = 20;
const LONG_IN_PART = 4;

/** Cells that share a replay. */
export interface Work {
  readonly cells: readonly Cell[];
  readonly batch: Batch;
  /** What it takes, in a unit of its own: kernels times bytes of the recording. */
  readonly effort: number;
}

/** Cells by what they share, in the order of the first of each. */
export function worksOf(cells: readonly Cell[], inPart: boolean): readonly Work[] {
  const groups = new Map<string, Cell[]>();
  for (const cell of cells) groups.set(cell.batch, [...(groups.get(cell.batch) ?? []), cell]);
  return [...groups.values()].map((group) => {
    const { job, file } = group[0]!;
    const specs = [...new Set(group.map(({ spec }) => spec))];
    const policies = [...new Set(group.map(({ policy }) => policy))];
    const wanted = group.map(({ spec, policy }) => [specs.indexOf(spec), policies.indexOf(policy)] as const);
    const long = isLongRun(file) ? (inPart ? LONG_IN_PART : LONG) : 1;
    return {
      cells: group,
      batch: { ...job, file, specs: specs as MachineSpec[], policies, wanted, inPart },
      effort: statSync(file).size * (policies.length + 1) * long,
    };
  });
}

/**
 * @param workers how many at most @param begin a work is taken @param keep its cells are measured
 * @throws InputError where a recording or a kernel cannot be used
 */
export async function runWorks(
  works: readonly Work[],
  workers: number,
  begin: (work: Work) => void,
  keep: (work: Work, done: readonly DoneCell[]) => void,
): Promise<void> {
  const queue = [...works].sort((a, b) => b.effort - a.effort);
  const file = fileURLToPath(new URL(WORKER, import.meta.url));
  const finish = (work: Work, rows: readonly Row[][]): void =>
    keep(
      work,
      work.cells.map(({ name, point }, at) => ({ cell: name, rows: rows[at]!.map((row) => ({ ...point, ...row })) })),
    );
  if (!existsSync(file)) {
    for (const work of queue) {
      begin(work);
      finish(work, await measureBatch(work.batch));
    }
    return;
  }
  await inWorkers(file, workers, queue, begin, async (work, ask) => {
    const answer = await ask<BatchAnswer>(work.batch);
    if (answer.kind === "bad-input") throw new InputError(answer.fault);
    finish(work, answer.rows);
  });
}
