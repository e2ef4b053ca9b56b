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
import { countText } from "./report/units.js";
import { shownName } from "./run-jobs.js";
import { runWhole } from "./run-whole.js";

/** A job whose recording and kernels lie in files: plain data. */
export interface VariantFileJob extends VariantJob, NamedKernels {}

/** Runs the recording in a job's file. @param kernel what the job names, read */
export const variantsOfFile = (job: VariantJob, kernel: ReplayKernel): VariantRuns =>
  measureVariants(job, recordedRun(job.file), kernel);

/**
 * @returns what each job counted, in the order of the jobs, or why its recording was refused
 * @throws what a job threw otherwise
 */
export const runVariants = (
  jobs: readonly VariantFileJob[],
  progress: Progress,
): Promise<readonly (VariantRuns | InputError)[]> =>
  runWhole(
    jobs,
    {
      work: variantsOfFile,
      answerIn: (message) => (message.kind === "variants" ? message.runs : undefined),
      effortOf: ({ file, variants, policies }) => effortOf(file) * variants.length * policies.length,
      told: (job) => `${shownName(job)} on ${countText(job.variants.length, "machine")}`,
    },
    progress,
  );
