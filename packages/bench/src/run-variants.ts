/**
 * Runs recordings on machines that differ in one thing, in as many workers as there are CPUs where the built worker
 * lies beside this file; one after the other where it does not (from source). Same results.
 */
import type { InputError } from "@kreplica/inputs";
import { measureVariants, type ReplayKernel, type VariantJob, type VariantRuns } from "@kreplica/replay";
import { effortOf } from "./effort.js";
import type { NamedKernels } from "./inputs/replay-kernel.js";
import { recordedRun } from "./inputs/trace-file.js";
import type { Progress } from "./report/terminal.js";
import { shownName } from "./run-jobs.js";
import { runParts } from "./run-parts.js";
import { countText } from "./report/units.js";

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
  // What takes longest is not begun last.
  const parts = jobs
    .map((job, index) => ({ job, index, work: effortOf(job.file) * job.variants.length * job.policies.length }))
    .sort((a, b) => b.work - a.work || a.index - b.index);
  const results: (VariantRuns | InputError)[] = [];
  progress.start(
    parts.reduce((sum, { work }) => sum + work, 0),
    "booting",
  );
  const begin = ({ job }: (typeof parts)[number]): void => {
    progress.step(0, `${shownName(job)} on ${countText(job.variants.length, "machine")}`);
  };
  const keep = ({ index, job, work }: (typeof parts)[number], answer: VariantRuns | InputError): void => {
    results[index] = answer;
    progress.step(work, shownName(job));
  };
  await runParts(parts, {
    begin,
    keep,
    work: variantsOfFile,
    answerIn: (message) => (message.kind === "variants" ? message.runs : undefined),
  });
  return results;
}
