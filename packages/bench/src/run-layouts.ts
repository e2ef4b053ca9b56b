/**
 * Runs recordings in layouts, a few layouts a job, in as many workers as there are CPUs where the built worker lies
 * beside this file; one after the other where it does not (from source). Same results.
 */
import { InputError } from "@kreplica/inputs";
import { type LayoutJob, type LayoutRun, measureLayouts, type ReplayKernel } from "@kreplica/replay";
import { effortOf } from "./effort.js";
import type { NamedKernels } from "./inputs/replay-kernel.js";
import { recordedRun } from "./inputs/trace-file.js";
import type { Progress } from "./report/terminal.js";
import { shownName } from "./run-jobs.js";
import { runParts } from "./run-parts.js";

/** A job whose recording and kernels lie in files: plain data. */
export interface LayoutFileJob extends LayoutJob, NamedKernels {}

/** Layouts that share a job, and with it the decoding; each takes memory for its program until the job is done. */
const TOGETHER = 4;

/** Runs the recording in a job's file. @param kernel what the job names, read */
export const layoutsOfFile = (job: LayoutJob, kernel: ReplayKernel): LayoutRun[][] =>
  measureLayouts(job, recordedRun(job.file), kernel);

/**
 * @returns for each job what its policies counted in each layout, or why its recording was refused
 * @throws what a job threw otherwise
 */
export async function runLayouts(
  jobs: readonly LayoutFileJob[],
  progress: Progress,
): Promise<readonly (LayoutRun[][] | InputError)[]> {
  const parts = jobs.flatMap((job, index) => {
    const { numbers, seed } = job.layouts;
    return Array.from({ length: Math.ceil(numbers.length / TOGETHER) }, (_, nth) => ({
      index,
      job: { ...job, layouts: { seed, numbers: numbers.slice(nth * TOGETHER, (nth + 1) * TOGETHER) } },
    }));
  });
  progress.start(
    parts.reduce((sum, { job }) => sum + workOf(job), 0),
    "booting",
  );
  const results = jobs.map(({ policies }): LayoutRun[][] => policies.map(() => []));
  const refused = new Map<number, InputError>();
  const begin = ({ job }: (typeof parts)[number]): void => {
    progress.step(0, told(job));
  };
  const keep = ({ index, job }: (typeof parts)[number], answer: readonly LayoutRun[][] | InputError): void => {
    progress.step(workOf(job), told(job));
    // One recording that no layout can be had of says nothing of the others.
    if (answer instanceof InputError) refused.set(index, refused.get(index) ?? answer);
    else answer.forEach((runs, policy) => results[index]![policy]!.push(...runs));
  };
  await runParts(parts, {
    begin,
    keep,
    work: layoutsOfFile,
    answerIn: (message) => (message.kind === "layouts" ? message.runs : undefined),
  });
  return results.map((each, i) => refused.get(i) ?? each.map((runs) => [...runs].sort((a, b) => a.layout - b.layout)));
}

const told = (job: LayoutFileJob): string =>
  `${shownName(job)}, layouts ${job.layouts.numbers[0]} to ${job.layouts.numbers.at(-1)}`;

/** Each layout of each policy is a run of its own; the longest recording takes most of the whole. */
const workOf = ({ file, layouts, policies }: LayoutFileJob): number =>
  effortOf(file) * layouts.numbers.length * policies.length;
