/**
 * Runs parts of jobs in as many workers as there are CPUs, where the built worker lies beside this file; one after the
 * other where it does not (from source). Same results. What was kept of an earlier run is not run again.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import type { MachineSpec } from "@kreplica/hw-x86";
import { InputError, type InputFault } from "@kreplica/inputs";
import { isNamed, type PolicyChoice, policyOf } from "@kreplica/kernel";
import type { BusyRuns, LayoutRun, ReplayKernel, TraceMeasurement, VariantRuns } from "@kreplica/replay";
import { type NamedKernels, replayKernel } from "./inputs/replay-kernel.js";
import { keptRuns } from "./kept-runs.js";
import { inWorkers } from "./worker-pool.js";

/** What a worker says of the job it was sent. */
export type WorkerMessage =
  | { readonly kind: "result"; readonly measurements: TraceMeasurement[] }
  | { readonly kind: "layouts"; readonly runs: LayoutRun[][] }
  | { readonly kind: "variants"; readonly runs: VariantRuns }
  | { readonly kind: "busy"; readonly runs: BusyRuns }
  | { readonly kind: "bad-input"; readonly fault: InputFault };

/** The worker's file name in dist; an entry of tsup.config.ts. */
const WORKER = "measure-worker.js";

/** A job whose kernels lie in files: plain data, but for the caller's own policies. */
export interface PolicyJob extends NamedKernels {
  readonly spec: MachineSpec;
  readonly policies: readonly PolicyChoice[];
}

/** What is done with parts of one kind. */
export interface PartWork<Part, Job, Answer> {
  /** A part is taken. */
  readonly begin: (part: Part) => void;
  /** What it came to, or why its recording was refused. */
  readonly keep: (part: Part, answer: Answer | InputError) => void;
  /** The work itself, from source. @throws InputError */
  readonly work: (job: Job, kernel: ReplayKernel) => Answer;
  /** The answer in a worker's message; undefined in one of another kind. */
  readonly answerIn: (message: WorkerMessage) => Answer | undefined;
}

/**
 * @param parts in the order of the jobs @param queue the same as workers take them
 * @throws what a part threw that is no fault of its input
 */
export async function runParts<Job extends PolicyJob, Part extends { readonly job: Job }, Answer>(
  parts: readonly Part[],
  { begin, keep, work, answerIn }: PartWork<Part, Job, Answer>,
  queue: readonly Part[] = parts,
): Promise<void> {
  const named = parts.every(({ job }) => job.policies.every(isNamed));
  const runs = named ? keptRuns() : undefined;
  // Those not found among what was kept, in their order, each with what is sent of it.
  const left = new Map<Part, Job>();
  for (const part of parts) {
    const sent = { ...part.job, policies: policyNames(part.job) };
    const answer = runs?.find<Answer>(sent);
    if (answer === undefined) left.set(part, sent);
    else {
      begin(part);
      keep(part, answer);
    }
  }
  const timed = (part: Part, answer: Answer | InputError, since: number): void => {
    if (!(answer instanceof InputError)) runs?.keep(left.get(part)!, answer, (performance.now() - since) / 1000);
    keep(part, answer);
  };
  const file = fileURLToPath(new URL(WORKER, import.meta.url));
  // A worker is told of policies by name: it has none of the caller's own.
  if (existsSync(file) && named) {
    const waiting = queue.filter((part) => left.has(part));
    await inWorkers(file, availableParallelism(), waiting, begin, async (part, ask) => {
      const since = performance.now();
      const message = await ask<WorkerMessage>(left.get(part));
      const answer = message.kind === "bad-input" ? new InputError(message.fault) : answerIn(message);
      if (answer !== undefined) timed(part, answer, since);
    });
    return;
  }
  for (const part of left.keys()) {
    begin(part);
    const since = performance.now();
    timed(part, await answered(part.job, work), since);
  }
}

async function answered<Job extends NamedKernels, Answer>(
  job: Job,
  work: (job: Job, kernel: ReplayKernel) => Answer,
): Promise<Answer | InputError> {
  try {
    return work(job, await replayKernel(job));
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
}

/** As a worker is told of them. */
export const policyNames = ({ policies }: Pick<PolicyJob, "policies">): string[] =>
  policies.map((each) => policyOf(each).name);
