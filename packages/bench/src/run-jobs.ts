/**
 * Runs jobs in as many workers as there are CPUs, where the built worker lies beside this file; one after the other
 * where it does not (from source). Same results.
 */
import { basename } from "node:path";
import { InputError } from "@kreplica/inputs";
import {
  type KernelMeasurement,
  measureTrace,
  type ReplayKernel,
  type TraceJob,
  type TraceMeasurement,
} from "@kreplica/replay";
import { testOf } from "@kreplica/trace";
import { effortOf } from "./effort.js";
import { type NamedKernels, shippedReplay } from "./inputs/replay-kernel.js";
import { isLongRun, recordedRun, traceFile } from "./inputs/trace-file.js";
import type { Progress } from "./report/terminal.js";
import { policyNames, runParts } from "./run-parts.js";

/** A job whose recording and kernels lie in files: plain data. */
export interface FileJob extends TraceJob, NamedKernels {}

/**
 * Measures the recording in a job's file.
 * @param kernel what the job names, read; the traced one when absent @param hear is told of each as it is made
 */
export const measureFile = (
  job: TraceJob,
  kernel: ReplayKernel = shippedReplay(),
  hear?: (measurement: KernelMeasurement) => void,
): TraceMeasurement[] => measureTrace(job, recordedRun(job.file), kernel, hear);

/**
 * @returns measurements of each job, in the order of the jobs, or why its recording was refused
 * @throws what a job threw otherwise
 */
export async function runJobs(
  jobs: readonly FileJob[],
  progress: Progress,
): Promise<readonly (TraceMeasurement[] | InputError)[]> {
  // A long run's kernels are measured side by side; the others', and those run in part, one after the other, because
  // they share the decoding.
  const parts = jobs.flatMap((job, index) =>
    (isLongRun(job.file) && job.inPart !== true ? sideBySide(job) : [job]).map((part) => ({
      index,
      job: part,
      work: workOf(part),
    })),
  );
  // By weight: the longest takes most of the whole.
  const running = new Set<string>();
  const nameOf = ({ job }: (typeof parts)[number]): string => `${shownName(job)}, ${kernelsOf(job).join(" and ")}`;
  const now = (): string => [...running].join("; ");
  progress.start(
    parts.reduce((sum, { work }) => sum + work, 0),
    "booting",
  );
  const begin = (part: (typeof parts)[number]): void => {
    running.add(nameOf(part));
    progress.step(0, now());
  };
  const results = jobs.map((): TraceMeasurement[] => []);
  const refused = new Map<number, InputError>();
  const queue = [...parts].sort((a, b) => b.work - a.work);
  const keep = (part: (typeof parts)[number], answer: readonly TraceMeasurement[] | InputError): void => {
    // One recording that cannot be used says nothing of the others.
    if (answer instanceof InputError) refused.set(part.index, refused.get(part.index) ?? answer);
    else results[part.index]!.push(...answer);
    running.delete(nameOf(part));
    progress.step(part.work, now());
  };
  await runParts(
    parts,
    {
      begin,
      keep,
      work: measureFile,
      answerIn: (message) => (message.kind === "result" ? message.measurements : undefined),
    },
    queue,
  );
  return results.map(
    (each, i) =>
      refused.get(i) ??
      each.sort(
        (a, b) =>
          Number(a.unaligned) - Number(b.unaligned) ||
          kernelsOf(jobs[i]!).indexOf(a.policy) - kernelsOf(jobs[i]!).indexOf(b.policy),
      ),
  );
}

/** A job for each of its kernels. */
const sideBySide = (job: TraceJob): TraceJob[] => [
  ...job.policies.map((policy) => ({ ...job, policies: [policy], unaligned: false })),
  ...(job.unaligned ? [{ ...job, policies: [], elsewhere: [] }] : []),
];

const kernelsOf = (job: TraceJob): string[] => [...policyNames(job), ...(job.unaligned ? ["unaligned"] : [])];

/** A recording's test; the file where it cannot be told, which is said when it is measured. */
export function shownName({ file, recording }: Pick<FileJob, "file" | "recording">): string {
  try {
    return testOf(traceFile(file), recording !== undefined).name;
  } catch (error) {
    if (error instanceof InputError) return basename(file);
    throw error;
  }
}

/** How much there is to do, against other jobs. */
const workOf = (job: TraceJob): number => effortOf(job.file, job.inPart === true) * kernelsOf(job).length;
