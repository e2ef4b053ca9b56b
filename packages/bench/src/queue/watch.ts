/** How a queued sweep fares, line by line, for whoever looks on: cells, rates, workers, what was set aside and why. */
import { setTimeout as pause } from "node:timers/promises";
import { InputError } from "@kreplica/inputs";
import type { Job, Queue } from "bullmq";
import { grouped, groupedCount } from "../report/units.js";
import { type FoundSweep, type KnownWorker, knownWorkers, openSweeps, queueOf } from "./keys.js";
import { connected, patiently, type Redis, shownAddress } from "./redis.js";

/** What is looked at. */
export interface Watched {
  readonly address: URL;
  /** The sweep, as its gatherer calls it. */
  readonly name: string;
  readonly version: string;
  /** Seconds from a line to the next. */
  readonly every: number;
  readonly remark: (text: string) => void;
  readonly print: (text: string) => void;
}

/** At one moment. */
export interface Sight {
  readonly sweep: FoundSweep;
  /** Jobs of this code by what becomes of them. */
  readonly jobs: Readonly<Record<"active" | "waiting" | "delayed" | "failed", number>>;
  /** Jobs of this sweep that were set aside, and why. */
  readonly failed: readonly { readonly job: string; readonly reason: string }[];
  readonly workers: readonly KnownWorker[];
}

/**
 * Prints lines until the sweep is done or left.
 * @throws InputError where Redis cannot be used, or knows no such sweep
 */
export async function watch({ address, name, version, every, remark, print }: Watched): Promise<void> {
  const redis = await connected(address, remark);
  const queue = await queueOf(redis, version);
  try {
    let before: { readonly done: number; readonly at: number } | undefined;
    for (;;) {
      const sight = await patiently(address, () => seen(redis, queue, name), remark);
      if (!sight && before === undefined)
        throw new InputError({
          file: "--watch",
          field: shownAddress(address),
          reason: "knows no such sweep that is under way",
          remedy: "give the plan and the files that it was given with; what is done is in its folder",
        });
      if (!sight) {
        print("done\n");
        return;
      }
      const now = performance.now();
      const rate = before && ((sight.sweep.done - before.done) * 1000) / (now - before.at);
      print(sightText(sight, version, rate));
      if (!sight.sweep.gathered) return;
      before = { done: sight.sweep.done, at: now };
      await pause(every * 1000);
    }
  } finally {
    await queue.close().catch(() => undefined);
    redis.disconnect();
  }
}

async function seen(redis: Redis, queue: Queue, name: string): Promise<Sight | undefined> {
  const sweep = (await openSweeps(redis)).get(name);
  if (!sweep) return undefined;
  const { active = 0, waiting = 0, delayed = 0, failed = 0 } = await queue.getJobCounts();
  const jobs: readonly (Job | undefined)[] = await queue.getFailed(0, -1);
  return {
    sweep,
    jobs: { active, waiting, delayed, failed },
    failed: jobs.flatMap((job) => (job?.name === name ? [{ job: job.id!, reason: job.failedReason }] : [])),
    workers: await knownWorkers(redis),
  };
}

/** @param version of the code that was asked about @param rate cells a second since the last look */
export function sightText({ sweep, jobs, failed, workers }: Sight, version: string, rate: number | undefined): string {
  const own = workers.filter((each) => each.version === version);
  const others = workers.length - own.length;
  const lines = [
    `${grouped(sweep.done)} of ${groupedCount(sweep.cells, "cell")}${rate === undefined ? "" : `, ${rate.toFixed(1)} a second`}`,
    `  jobs: ${jobs.active} at work, ${jobs.waiting} wait, ${jobs.delayed} to be tried again, ${jobs.failed} set aside`,
    ...own.map(
      ({ host, pid, cells, seconds }) =>
        `  ${host}, process ${pid}: ${groupedCount(cells, "cell")}, ${(cells / seconds).toFixed(1)} a second`,
    ),
    ...(own.length === 0 ? ["  no worker was heard of"] : []),
    ...(others > 0 ? [`  ${groupedCount(others, "worker")} of other code: they get nothing of it`] : []),
    ...failed.map(({ job, reason }) => `  set aside: job ${job.slice(0, 12)}: ${reason}`),
    ...(sweep.gathered ? [] : ["  nobody gathers it: give the sweep's command again"]),
  ];
  return `${lines.join("\n")}\n`;
}
