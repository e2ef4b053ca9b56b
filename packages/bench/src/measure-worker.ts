/** Jobs of a comparison, in a worker thread: an entry of its own in dist, started by run-parts.ts. */
import "@kreplica/di"; // first, as in cli.ts
import { parentPort, workerData } from "node:worker_threads";
import { faultOf, InputError } from "@kreplica/inputs";
import { useExtensions, useTextProfile } from "@kreplica/kernel";
import { replayKernel } from "./inputs/replay-kernel.js";
import { loadPlugins } from "./plugin-file.js";
import { type BusyFileJob, busyOfFile } from "./run-busy.js";
import { type FileJob, measureFile } from "./run-jobs.js";
import { type LayoutFileJob, layoutsOfFile } from "./run-layouts.js";
import type { WorkerMessage } from "./run-parts.js";
import { type VariantFileJob, variantsOfFile } from "./run-variants.js";
import { shippedTextProfile } from "./text-profile.js";

useTextProfile(shippedTextProfile);

/** What a worker is sent. */
type WorkerJob = FileJob | LayoutFileJob | VariantFileJob | BusyFileJob;

/** Plugin files, once for all jobs. */
const loaded = loadPlugins(workerData as readonly string[]).then(useExtensions);

const say = (message: WorkerMessage): void => parentPort?.postMessage(message);

parentPort?.on("message", (job: WorkerJob) => {
  void answer(job);
});

async function answer(job: WorkerJob): Promise<void> {
  try {
    await loaded;
    const kernel = await replayKernel(job);
    if ("layouts" in job) say({ kind: "layouts", runs: layoutsOfFile(job, kernel) });
    else if ("variants" in job) say({ kind: "variants", runs: variantsOfFile(job, kernel) });
    else if ("busy" in job) say({ kind: "busy", runs: busyOfFile(job, kernel) });
    else say({ kind: "result", measurements: measureFile(job, kernel) });
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    // Errors lose their class on the way: their fields are sent.
    say({ kind: "bad-input", fault: faultOf(error) });
  }
}
