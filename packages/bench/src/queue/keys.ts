/** What lies in Redis for a sweep beside its jobs, and what a worker says of itself; all names begin with kreplica. */
import type { Queue } from "bullmq";
import { z } from "zod";
import { PREFIX, queueLibraries, type Redis } from "./redis.js";

/** The queue of a version of the code: a worker of another one never sees its jobs. */
export const queueName = (version: string): string => `sweep-${version.slice(0, 16)}`;

/** That queue, by a connection that stands. @throws InputError where the libraries are not installed */
export async function queueOf(redis: Redis, version: string): Promise<Queue> {
  const { Queue: Jobs } = await queueLibraries();
  const queue = new Jobs(queueName(version), { connection: redis, prefix: PREFIX });
  // Connections say it of themselves, once.
  queue.on("error", () => undefined);
  return queue;
}

/** Results not yet taken: a line of a journal each. */
export const resultsKey = (sweep: string): string => `${PREFIX}:results:${sweep}`;
/** Names of cells whose results were sent: a job that is done again leaves them out. */
export const sentKey = (sweep: string): string => `${PREFIX}:sent:${sweep}`;
/** Whoever gathers a sweep's results. */
export const gathererKey = (sweep: string): string => `${PREFIX}:gatherer:${sweep}`;
/** Sweeps that are under way, by name. */
const SWEEPS = `${PREFIX}:sweeps`;
const workerKey = (name: string): string => `${PREFIX}:worker:${name}`;

const sweepShape = z.object({
  version: z.string(),
  title: z.string().nullable(),
  cells: z.number(),
  done: z.number(),
  replays: z.number(),
});
/** A sweep that is under way. */
export type OpenSweep = z.infer<typeof sweepShape>;
/** One that somebody gathers, or that waits for the same command to be given again. */
export type FoundSweep = OpenSweep & { readonly gathered: boolean };

const workerShape = z.object({
  version: z.string(),
  host: z.string(),
  pid: z.number(),
  /** Sent so far. */
  cells: z.number(),
  /** Since it began. */
  seconds: z.number(),
});
/** What a worker says of itself. */
export type KnownWorker = z.infer<typeof workerShape>;

const read = <T>(shape: z.ZodType<T>, text: string): T | undefined => {
  try {
    return shape.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
};

/** Sweeps that are not done. */
export async function openSweeps(redis: Redis): Promise<ReadonlyMap<string, FoundSweep>> {
  const found = new Map<string, FoundSweep>();
  for (const [name, text] of Object.entries(await redis.hgetall(SWEEPS))) {
    const sweep = read(sweepShape, text);
    if (sweep) found.set(name, { ...sweep, gathered: (await redis.exists(gathererKey(name))) === 1 });
  }
  return found;
}

export const announceSweep = (redis: Redis, name: string, sweep: OpenSweep): Promise<unknown> =>
  redis.hset(SWEEPS, name, JSON.stringify(sweep));

/** A sweep that is done leaves nothing behind. */
export const forgetSweep = (redis: Redis, name: string): Promise<unknown> =>
  redis.multi().hdel(SWEEPS, name).del(resultsKey(name), sentKey(name)).exec();

/** @param seconds for which it is believed */
export const announceWorker = (redis: Redis, name: string, worker: KnownWorker, seconds: number): Promise<unknown> =>
  redis.set(workerKey(name), JSON.stringify(worker), "EX", Math.ceil(seconds));

export const forgetWorker = (redis: Redis, name: string): Promise<unknown> => redis.del(workerKey(name));

/** Workers that were heard of lately, in the order of their names. */
export async function knownWorkers(redis: Redis): Promise<readonly KnownWorker[]> {
  const keys: string[] = [];
  let cursor = "0";
  do {
    const [next, found] = await redis.scan(cursor, "MATCH", workerKey("*"), "COUNT", 1000);
    keys.push(...found);
    cursor = next;
  } while (cursor !== "0");
  if (keys.length === 0) return [];
  const texts = await redis.mget([...new Set(keys)].sort());
  return texts.flatMap((text) => (text === null ? [] : (read(workerShape, text) ?? [])));
}
