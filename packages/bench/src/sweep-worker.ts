/** Batches of a sweep, in a worker thread: an entry of its own in dist, started by sweep/run-batches.ts. */
import "@kreplica/di"; // first, as in cli.ts
import { parentPort, workerData } from "node:worker_threads";
import { faultOf, InputError } from "@kreplica/inputs";
import { useExtensions, useTextProfile } from "@kreplica/kernel";
import { loadPlugins } from "./plugin-file.js";
import { type Batch, measureBatch } from "./sweep/batch.js";
import type { BatchAnswer } from "./sweep/run-batches.js";
import { shippedTextProfile } from "./text-profile.js";

useTextProfile(shippedTextProfile);

/** Plugin files, once for all batches. */
const loaded = loadPlugins(workerData as readonly string[]).then(useExtensions);

const say = (answer: BatchAnswer): void => parentPort?.postMessage(answer);

parentPort?.on("message", (batch: Batch) => {
  void answer(batch);
});

async function answer(batch: Batch): Promise<void> {
  try {
    await loaded;
    await measureBatch(batch, (cells) => say({ kind: "cells", cells }));
    say({ kind: "done" });
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    // Errors lose their class on the way: their fields are sent.
    say({ kind: "bad-input", fault: faultOf(error) });
  }
}
