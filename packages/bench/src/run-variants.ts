/**
 * Runs recordings on machines that differ in one thing, in as many workers as there are CPUs where the built worker
 * lies beside this file; one after the other where it does not (from source). Same results.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { InputError } from "@kreplica/inputs";
import { isNamed } from "@kreplica/kernel";
import { measureVariants, type ReplayKernel, type VariantJob, type VariantRuns } from "@kreplica/replay";
import { type NamedKernels, replayKernel } from "./inputs/replay-kernel.js";
import { isLongRun, recordedRun } from "./inputs/trace-file.js";
import type { Progress } from "./report/terminal.js";
import { policyNames, shownName, WORKER, type WorkerMessage } from "./run-jobs.js";
import { inWorkers } from "./worker-pool.js";

/** A job whose recording and kernels lie in files: plain data. */
export interface VariantFileJob extends VariantJob, NamedKernels {}

/** Runs the recording in a job's file. @param kernel what the job names, read */
export const variantsOfFile = (job: VariantJob, kernel: ReplayKernel): VariantRuns =>
  measureVariants(job, recordedRun(job.file), kernel);

/**
 * @returns what each job counted, in the order of the jobs, or why its recording was refused
 * @throws what a job threw otherwise
 */
export async function runVariants(
  jobs: readonly VariantFileJob[],
  progress: Progress,
): Promise<readonly (VariantRuns | InputError)[]> {
  // Long recordings first: what takes longest is not begun last.
  const parts = jobs
    .map((job, index) => ({ job, index }))
    .sort((a, b) => Number(isLongRun(b.job.file)) - Number(isLongRun(a.job.file)) || a.index - b.index);
  const results: (VariantRuns | InputError)[] = [];
  progress.start(2 * parts.length, "booting");
  const begin = ({ job }: (typeof parts)[number]): void => {
    progress.step(1, `${shownName(job)} on ${job.variants.length} machines`);
  };
  const keep = ({ index, job }: (typeof parts)[number], answer: VariantRuns | InputError): void => {
    results[index] = answer;
    progress.step(1, shownName(job));
  };
  const file = fileURLToPath(new URL(WORKER, import.meta.url));
  // A worker is told of policies by name: it has none of the caller's own.
  if (existsSync(file) && jobs.every(({ policies }) => policies.every(isNamed)))
    await inWorkers(file, availableParallelism(), [...parts], begin, async (part, ask) => {
      const message = await ask<WorkerMessage>({
        ...part.job,
        policies: policyNames(part.job),
      } satisfies VariantFileJob);
      if (message.kind === "bad-input") keep(part, new InputError(message.fault));
      else if (message.kind === "variants") keep(part, message.runs);
    });
  else
    for (const part of parts) {
      begin(part);
      keep(part, await run(part.job));
    }
  return results;
}

async function run(job: VariantFileJob): Promise<VariantRuns | InputError> {
  try {
    return variantsOfFile(job, await replayKernel(job));
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
}
