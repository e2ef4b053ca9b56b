/** Parts of a work in worker threads: each takes the next part when it is done with one, until there is none. */
import { Worker } from "node:worker_threads";
import { extensions } from "@kreplica/kernel";
import { collectOnceIdle } from "./collecting.js";

/**
 * Sends a message to the worker and waits for its answer.
 * @param isLast of answers that come in parts, told of each; absent: there is one
 */
export type Ask = <Answer>(message: unknown, isLast?: (answer: Answer) => boolean) => Promise<Answer>;

/**
 * Most that V8 gives a worker for what is young, MB: three times what it copies from and to. By itself it takes 48, of
 * which a replay, whose objects are long-lived or gone at once, fills what it is given and leaves nearly all of it
 * empty after each collection.
 */
const YOUNG_MB = 12;

/** @param file of the worker; it is told of the plugin files in use */
export const startWorker = (file: string): Worker =>
  new Worker(file, { workerData: extensions().files, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } });

/**
 * @param file of the worker; it is told of the plugin files in use
 * @param most workers at a time
 * @param queue emptied from the front
 * @param begin a part is taken @param work done with it; asks the worker
 * @throws what a worker or `work` threw; no further part is begun then, and all workers are ended
 */
export async function inWorkers<Part>(
  file: string,
  most: number,
  queue: Part[],
  begin: (part: Part) => void,
  work: (part: Part, ask: Ask) => Promise<void>,
): Promise<void> {
  const workers = Array.from({ length: Math.min(queue.length, most) }, () => startWorker(file));
  const collecting = collectOnceIdle();
  try {
    await Promise.all(
      workers.map(async (worker) => {
        for (let part = queue.shift(); part; part = queue.shift()) {
          begin(part);
          await work(part, (message, isLast) => askedOf(worker, message, isLast));
        }
      }),
    );
  } finally {
    clearTimeout(collecting);
    queue.length = 0;
    await Promise.all(workers.map((each) => each.terminate()));
  }
}

/** As {@link Ask}, of a worker. @throws what the worker threw, or what `isLast` did */
export const askedOf = <Answer>(
  worker: Worker,
  sent: unknown,
  isLast: (answer: Answer) => boolean = () => true,
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    worker.removeAllListeners();
    worker.on("message", (answer: Answer) => {
      try {
        if (isLast(answer)) resolve(answer);
      } catch (error) {
        reject(error as Error);
      }
    });
    worker.on("error", reject);
    worker.on("exit", (code) => reject(new Error(`a worker ended early, exit code ${code}`)));
    worker.postMessage(sent);
  });
