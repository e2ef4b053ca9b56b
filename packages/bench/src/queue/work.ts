/**
 * A worker of a queue: takes jobs, fetches what it lacks, sends each cell as it is measured. It runs its own code on
 * what a job says, and nothing that a job brings.
 */
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { InputError } from "@kreplica/inputs";
import { journalLine } from "@kreplica/sweep";
import type { Job } from "bullmq";
import type { Batch, BatchCells } from "../sweep/batch.js";
import { lineDigest } from "../sweep/folder.js";
import { FileCache } from "./files.js";
import { jobShape, pluginDigests, type QueueJob } from "./job.js";
import { announceWorker, forgetWorker, openSweeps, queueName, resultsKey, sentKey } from "./keys.js";
import { connected, patiently, PREFIX, queueLibraries, type Redis, shownAddress } from "./redis.js";
import { Threads } from "./threads.js";

/** A job that ends its worker so often is set aside. */
export const MOST_ENDED_WORKERS = 3;
const LOOK_MS = 200;

/** How a worker works. */
export interface WorkerRequest {
  readonly address: URL;
  readonly version: string;
  /** Jobs at a time. */
  readonly jobs: number;
  /** Seconds after which a worker that is not heard of has lost its job to another. */
  readonly lease: number;
  /** Seconds without a job after which it ends; absent: never. */
  readonly idle?: number;
  readonly remark: (text: string) => void;
  /** Measures a job; absent: in threads of its own. */
  readonly measure?: (batch: Batch, keep: (cells: BatchCells) => void) => Promise<void>;
}

/** What a worker did. */
export interface WorkerDone {
  readonly jobs: number;
  readonly cells: number;
  readonly failed: number;
}

/**
 * Works until there was nothing to do for long enough.
 * @throws InputError where Redis cannot be used, or all sweeps there want other code than this
 */
export async function work(request: WorkerRequest): Promise<WorkerDone> {
  const { address, version, jobs, lease, remark } = request;
  const { Worker: Jobs, UnrecoverableError } = await queueLibraries();
  const redis = await connected(address, remark);
  try {
    await refuseOtherCode(redis, request);
  } catch (error) {
    redis.disconnect();
    throw error;
  }
  const files = new FileCache(redis);
  const threads = new Threads();
  const plugins = new Set(pluginDigests());
  const done = { jobs: 0, cells: 0, failed: 0 };
  let running = 0;
  let lastAt = performance.now();
  const began = performance.now();
  const process = async (job: Job): Promise<void> => {
    running++;
    try {
      const said = accepted(job.data, version, plugins);
      if (typeof said === "string") throw new UnrecoverableError(said);
      await measured(said, redis, files, threads, request, (cells) => {
        done.cells += cells;
      });
      done.jobs++;
    } catch (error) {
      done.failed++;
      remark(`job ${job.id!}: ${(error as Error).message.split("\n")[0]!}`);
      // What cannot be measured here cannot be measured elsewhere.
      throw error instanceof InputError ? new UnrecoverableError(error.message) : error;
    } finally {
      running--;
      lastAt = performance.now();
    }
  };
  const worker = new Jobs(queueName(version), process, {
    connection: redis,
    prefix: PREFIX,
    concurrency: jobs,
    lockDuration: lease * 1000,
    // Whose lease has run out is looked for more often than one runs out.
    stalledInterval: lease * 250,
    maxStalledCount: MOST_ENDED_WORKERS,
    runRetryDelay: 1000,
    // So that one that has nothing to do is soon told to end.
    drainDelay: 1,
  });
  worker.on("error", () => undefined);
  const name = `${hostname()}:${globalThis.process.pid}`;
  const announce = (): void =>
    void announceWorker(
      redis,
      name,
      {
        version,
        host: hostname(),
        pid: globalThis.process.pid,
        cells: done.cells,
        seconds: Math.max(1, Math.round((performance.now() - began) / 1000)),
      },
      2 * lease,
    ).catch(() => undefined);
  announce();
  const announcing = setInterval(announce, (lease * 1000) / 2);
  try {
    while (request.idle === undefined || running > 0 || performance.now() - lastAt < request.idle * 1000)
      await pause(LOOK_MS);
    await worker.close();
    await forgetWorker(redis, name).catch(() => undefined);
  } finally {
    clearInterval(announcing);
    await threads.close();
    redis.disconnect();
    files.close();
  }
  return done;
}

/** @returns what a job says, or why it is not taken */
export function accepted(data: unknown, version: string, plugins: ReadonlySet<string>): QueueJob | string {
  const read = jobShape.safeParse(data);
  if (!read.success) {
    const [issue] = read.error.issues;
    return `it is no job of a sweep: ${issue!.path.join(".") || "all of it"}: ${issue!.message}`;
  }
  const job = read.data;
  if (job.version !== version)
    return `it wants code ${job.version.slice(0, 16)}, and this worker is ${version.slice(0, 16)}`;
  const plugin = job.plugins.find((each) => !plugins.has(each));
  if (plugin !== undefined)
    return `it wants the plugin ${plugin.slice(0, 16)}, which this worker was not given with --plugin`;
  if (job.cells.length !== job.wanted.length) return "it is no job of a sweep: cells are not as many as wanted";
  if (job.wanted.some(([spec, policy]) => spec >= job.specs.length || policy >= job.policies.length))
    return "it is no job of a sweep: it wants a machine or a policy that it does not name";
  if (job.loads.length !== job.specs.length) return "it is no job of a sweep: loads are not as many as machines";
  return job;
}

/** Measures what was not sent before, and sends it. @param count is told how many cells arrived */
async function measured(
  job: QueueJob,
  redis: Redis,
  files: FileCache,
  threads: Threads,
  { address, remark, measure }: WorkerRequest,
  count: (cells: number) => void,
): Promise<void> {
  const sent = await patiently(address, () => redis.smismember(sentKey(job.sweep), ...job.cells), remark);
  const open = job.cells.map((_, at) => at).filter((at) => sent[at] !== 1);
  if (open.length === 0) return;
  const batch = await files.batchOf({ ...job, ...narrowed(job, open) });
  let sending: Promise<unknown> = Promise.resolve();
  let failure: unknown;
  const send = (cells: BatchCells): void => {
    const done = cells.map(([at, rows]) => ({ cell: job.cells[open[at]!]!, rows }));
    sending = sending
      .then(() =>
        patiently(
          address,
          async () => {
            const said = await redis
              .multi()
              .rpush(resultsKey(job.sweep), ...done.map((each) => journalLine(each, lineDigest)))
              .sadd(sentKey(job.sweep), ...done.map(({ cell }) => cell))
              .exec();
            for (const [error] of said ?? []) if (error) throw error;
          },
          remark,
        ),
      )
      .then(() => count(done.length))
      .catch((error: unknown) => {
        failure ??= error;
      });
  };
  await (measure ? measure(batch, send) : threads.measure(batch, send));
  await sending;
  if (failure !== undefined) throw failure as Error;
}

/** Policies and cells of a job that are left: a policy whose cells were all sent is not run again. */
function narrowed({ policies, wanted }: QueueJob, open: readonly number[]): Pick<QueueJob, "policies" | "wanted"> {
  const left = [...new Set(open.map((at) => wanted[at]![1]))].sort((a, b) => a - b);
  return {
    policies: left.map((policy) => policies[policy]!),
    wanted: open.map((at) => [wanted[at]![0], left.indexOf(wanted[at]![1])]),
  };
}

/** A worker of other code would wait for ever. @throws InputError */
async function refuseOtherCode(redis: Redis, { address, version }: WorkerRequest): Promise<void> {
  const sweeps = [...(await openSweeps(redis)).values()].filter(({ gathered }) => gathered);
  const other = sweeps.find((each) => each.version !== version);
  if (other === undefined || sweeps.some((each) => each.version === version)) return;
  throw new InputError({
    file: "--queue",
    field: shownAddress(address),
    reason: `the sweep there${other.title === null ? "" : `, ${other.title},`} is measured by code ${other.version.slice(0, 16)}, and this is ${version.slice(0, 16)}`,
    remedy: "run the very kreplica, and the --plugin files, that `kreplica sweep` was given with",
  });
}
