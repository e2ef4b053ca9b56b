/**
 * Runs recordings on many CPUs at once, a job for each number of them, in as many workers as there are CPUs where the
 * built worker lies beside this file; one after the other where it does not (from source). Same results.
 */
import type { InputError } from "@kreplica/inputs";
import { type BusyJob, type BusyRuns, measureBusy, type ReplayKernel } from "@kreplica/replay";
import { effortOf } from "./effort.js";
import type { NamedKernels } from "./inputs/replay-kernel.js";
import { recordedRun } from "./inputs/trace-file.js";
import type { Progress } from "./report/terminal.js";
import { countText } from "./report/units.js";
import { shownName } from "./run-jobs.js";
import { runWhole } from "./run-whole.js";

/** A job whose recording and kernels lie in files: plain data. */
export interface BusyFileJob extends BusyJob, NamedKernels {}

/** Runs the recording in a job's file. @param kernel what the job names, read */
export const busyOfFile = (job: BusyJob, kernel: ReplayKernel): BusyRuns =>
  measureBusy(job, recordedRun(job.file), kernel, job.neighbour && recordedRun(job.neighbour.file));

/**
 * @returns what each job counted, in the order of the jobs, or why its recording was refused
 * @throws what a job threw otherwise
 */
export const runBusy = (
  jobs: readonly BusyFileJob[],
  progress: Progress,
): Promise<readonly (BusyRuns | InputError)[]> =>
  runWhole(
    jobs,
    {
      work: busyOfFile,
      answerIn: (message) => (message.kind === "busy" ? message.runs : undefined),
      effortOf: ({ file, busy, neighbour, policies }) =>
        (effortOf(file, true) * busy.length +
          (neighbour ? effortOf(neighbour.file, true) * neighbour.cpus.length : 0)) *
        policies.length,
      told: (job) =>
        `${shownName(job)} on ${countText(job.busy.length, "CPU")}${job.neighbour ? `, ${shownName({ ...job, file: job.neighbour.file })} beside` : ""}`,
    },
    progress,
  );
