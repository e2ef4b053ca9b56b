/** Runs jobs in workers where the built worker lies beside this file, one after the other where it does not (from source). Same results. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { InputError, type InputFault } from "../inputs/input-error.js";
import type { Progress } from "../report/terminal.js";
import { type KernelJob, measureKernel, type TraceMeasurement } from "./measure-kernel.js";

/** What a worker says. */
export type WorkerMessage =
  | { readonly kind: "done"; readonly what: string }
  | { readonly kind: "result"; readonly measurements: TraceMeasurement[] }
  | { readonly kind: "bad-input"; readonly fault: InputFault };

/** The worker's file name in dist; an entry of tsup.config.ts. */
const WORKER = "measure-worker.js";

/** @throws InputError, or what a job threw */
export async function runJobs(jobs: readonly KernelJob[], progress: Progress): Promise<readonly TraceMeasurement[][]> {
  const steps = jobs.reduce((sum, job) => sum + job.files.length, 0);
  progress.start(steps, "booting");
  const worker = fileURLToPath(new URL(WORKER, import.meta.url));
  if (!existsSync(worker)) return jobs.map((job) => measureKernel(job, (what) => progress.step(1, what)));
  const workers: Worker[] = [];
  try {
    return await Promise.all(jobs.map((job) => inWorker(worker, job, workers, (what) => progress.step(1, `${what}, ${job.policy}`))));
  } finally {
    await Promise.all(workers.map((each) => each.terminate()));
  }
}

const inWorker = (file: string, job: KernelJob, workers: Worker[], done: (what: string) => void): Promise<TraceMeasurement[]> => new Promise((resolve, reject) => {
  const worker = new Worker(file, { workerData: job });
  workers.push(worker);
  worker.on("message", (message: WorkerMessage) => {
    if (message.kind === "done") done(message.what);
    else if (message.kind === "result") resolve(message.measurements);
    else reject(new InputError(message.fault));
  });
  worker.on("error", reject);
  worker.on("exit", (code) => reject(new Error(`a worker ended early, exit code ${code}`)));
});
