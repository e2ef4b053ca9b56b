/** Workers take little for what is young, and who waits for them gives back what it left behind. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { collectOnceIdle } from "../src/collecting.js";
import { askedOf, startWorker } from "../src/worker-pool.js";

afterEach(() => {
  vi.useRealTimers();
});

test("a worker has a quarter of what V8 takes for young objects by itself, and is told of the plugin files", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kreplica-worker-"));
  try {
    const file = join(folder, "tells.mjs");
    writeFileSync(
      file,
      'import { parentPort, resourceLimits, workerData } from "node:worker_threads"; parentPort.on("message", () => parentPort.postMessage([resourceLimits.maxYoungGenerationSizeMb, workerData]));',
    );
    const worker = startWorker(file);
    expect(await askedOf(worker, "tell")).toEqual([12, []]);
    await worker.terminate();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("what nobody holds is collected once a thread has waited", async () => {
  const left = new WeakRef({ large: new Float64Array(1000) });
  // What a WeakRef is made of is held until the task ends.
  await new Promise((done) => setImmediate(done));
  vi.useFakeTimers();
  collectOnceIdle();
  vi.runAllTimers();
  expect(left.deref()).toBeUndefined();
});
