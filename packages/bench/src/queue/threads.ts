/** Threads that measure a worker's jobs, made as they are needed; one that ended is replaced. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Worker } from "node:worker_threads";
import { InputError } from "@kreplica/inputs";
import { type Batch, type BatchCells, measureBatch } from "../sweep/batch.js";
import { type BatchAnswer, SWEEP_WORKER } from "../sweep/run-batches.js";
import { askedOf, startWorker } from "../worker-pool.js";

export class Threads {
  private readonly idle: Worker[] = [];
  private readonly all = new Set<Worker>();
  private readonly file = fileURLToPath(new URL(SWEEP_WORKER, import.meta.url));

  /** In this thread where the built worker does not lie beside this file. @throws InputError as {@link measureBatch} */
  async measure(batch: Batch, keep: (cells: BatchCells) => void): Promise<void> {
    if (!existsSync(this.file)) {
      await measureBatch(batch, keep);
      return;
    }
    const thread = this.idle.pop() ?? this.begun();
    let last: BatchAnswer;
    try {
      last = await askedOf<BatchAnswer>(thread, batch, (answer) => {
        if (answer.kind !== "cells") return true;
        keep(answer.cells);
        return false;
      });
    } catch (error) {
      this.all.delete(thread);
      await thread.terminate();
      throw error;
    }
    this.idle.push(thread);
    if (last.kind === "bad-input") throw new InputError(last.fault);
  }

  async close(): Promise<void> {
    await Promise.all([...this.all].map((each) => each.terminate()));
  }

  private begun(): Worker {
    const thread = startWorker(this.file);
    this.all.add(thread);
    return thread;
  }
}
