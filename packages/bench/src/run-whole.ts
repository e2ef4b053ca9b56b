/** Runs jobs that are not divided: what takes longest first, and the progress line told of each by what it takes. */
import type { InputError } from "@kreplica/inputs";
import type { Progress } from "./report/terminal.js";
import { type PartWork, type PolicyJob, runParts } from "./run-parts.js";

/** What is done with jobs that are run whole. */
export interface WholeWork<Job, Answer> extends Pick<PartWork<never, Job, Answer>, "work" | "answerIn"> {
  /** What it takes, against others of them. */
  readonly effortOf: (job: Job) => number;
  /** As the progress names it. */
  readonly told: (job: Job) => string;
}

/**
 * Runs each of the jobs, what takes longest first.
 * @returns answers in the order of the jobs, or why a recording was refused
 * @throws what a job threw otherwise
 */
export async function runWhole<Job extends PolicyJob, Answer>(
  jobs: readonly Job[],
  { work, answerIn, effortOf, told }: WholeWork<Job, Answer>,
  progress: Progress,
): Promise<readonly (Answer | InputError)[]> {
  const parts = jobs
    .map((job, index) => ({ job, index, effort: effortOf(job) }))
    .sort((a, b) => b.effort - a.effort || a.index - b.index);
  const results: (Answer | InputError)[] = [];
  progress.start(
    parts.reduce((sum, { effort }) => sum + effort, 0),
    "booting",
  );
  const begin = ({ job }: (typeof parts)[number]): void => {
    progress.step(0, told(job));
  };
  const keep = ({ index, job, effort }: (typeof parts)[number], answer: Answer | InputError): void => {
    results[index] = answer;
    progress.step(effort, told(job));
  };
  await runParts(parts, { begin, keep, work, answerIn });
  return results;
}
