/**
 * Runs a sweep's batches in workers, where the built worker lies beside this file, and one after the other where it
 * does not (from source). Same results, whatever their number; in the order in which they are done.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { InputError, type InputFault } from "@kreplica/inputs";
import type { MachineSpec } from "@kreplica/hw-x86";
import type { DoneCell } from "@kreplica/sweep";
import { effortOf } from "../effort.js";
import { inWorkers } from "../worker-pool.js";
import { type Batch, type BatchCells, measureBatch } from "./batch.js";
import type { Cell } from "./cells.js";

/**
 * What a worker says of the batch it was sent: cells as they are done, and then that all are, or why they cannot be.
 */
export type BatchAnswer =
  | { readonly kind: "cells"; readonly cells: BatchCells }
  | { readonly kind: "done" }
  | { readonly kind: "bad-input"; readonly fault: InputFault };

/** The worker's file name in dist; an entry of tsup.config.ts. */
export const SWEEP_WORKER = "sweep-worker.js";
/** Cells that share a replay. */
export interface Work {
  readonly cells: readonly Cell[];
  readonly batch: Batch;
  /** What it takes: kernels times the recording's. */
  readonly effort: number;
}

/** Cells by what they share, in the order of the first of each. */
export function worksOf(cells: readonly Cell[], inPart: boolean): readonly Work[] {
  const groups = new Map<string, Cell[]>();
  for (const cell of cells) groups.set(cell.batch, [...(groups.get(cell.batch) ?? []), cell]);
  return [...groups.values()].map((group) => {
    const { job, file, layout } = group[0]!;
    // A machine under a load is one of its own: with other latencies.
    const places = new Map<MachineSpec, Map<string | null, number>>();
    const machines: Pick<Cell, "spec" | "load">[] = [];
    const placeOf = ({ spec, load }: Cell): number => {
      const ofSpec = places.get(spec) ?? new Map<string | null, number>();
      const place = ofSpec.get(load) ?? machines.push({ spec, load }) - 1;
      places.set(spec, ofSpec.set(load, place));
      return place;
    };
    const policies = [...new Set(group.map(({ policy }) => policy))];
    const wanted = group.map((cell) => [placeOf(cell), policies.indexOf(cell.policy)] as const);
    return {
      cells: group,
      batch: {
        ...job,
        file,
        specs: machines.map(({ spec }) => spec),
        loads: machines.map(({ load }) => load),
        layout,
        policies,
        wanted,
        inPart,
      },
      effort: effortOf(file, inPart) * (policies.length + 1),
    };
  });
}

/** Is told of what becomes of works. */
export interface Told {
  begin(work: Work): void;
  /** Some cells are measured: when this returns they are kept. */
  keep(done: readonly DoneCell[]): void;
  /** All cells of a work are. */
  end(work: Work): void;
}

/** Does works, in whatever order and wherever. @throws InputError where a recording or a kernel cannot be used */
export type Runner = (works: readonly Work[], told: Told) => Promise<void>;

/** In threads of this process. @param workers how many at most */
export async function runWorks(works: readonly Work[], workers: number, { begin, keep, end }: Told): Promise<void> {
  const queue = [...works].sort((a, b) => b.effort - a.effort);
  const file = fileURLToPath(new URL(SWEEP_WORKER, import.meta.url));
  if (!existsSync(file)) {
    for (const work of queue) {
      begin(work);
      await measureBatch(work.batch, (cells) => keep(doneOf(work, cells)));
      end(work);
    }
    return;
  }
  await inWorkers(file, workers, queue, begin, async (work, ask) => {
    const last = await ask<BatchAnswer>(work.batch, (answer) => {
      if (answer.kind !== "cells") return true;
      keep(doneOf(work, answer.cells));
      return false;
    });
    if (last.kind === "bad-input") throw new InputError(last.fault);
    end(work);
  });
}

const doneOf = ({ cells }: Work, done: BatchCells): DoneCell[] =>
  done.map(([at, rows]) => {
    const { name, point } = cells[at]!;
    return { cell: name, rows: rows.map((row) => ({ ...point, ...row })) };
  });
