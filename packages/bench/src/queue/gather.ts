/**
 * Works of a sweep given to a queue, and their results gathered. Jobs may be lost with a Redis, results may come twice:
 * a job whose cells are missing and that is not there is given again, a cell that came is not kept again.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { allFaults, InputError } from "@kreplica/inputs";
import { canonicalText, type DoneCell, readJournal } from "@kreplica/sweep";
import type { Job, Queue } from "bullmq";
import { lineDigest } from "../sweep/folder.js";
import type { Runner, Work } from "../sweep/run-batches.js";
import { offerFiles } from "./files.js";
import { JobMaker, jobName } from "./job.js";
import { announceSweep, forgetSweep, gathererKey, type OpenSweep, queueOf, resultsKey, sentKey } from "./keys.js";
import { connected, patiently, type Redis, shownAddress } from "./redis.js";

/** Tries of a job that fails before it is set aside, each twice as long after the one before. */
const TRIES = 3;
const FIRST_PAUSE_MS = 1000;
/** Lines taken at once: one write to the disk for all of them. */
const TAKEN = 500;
const IDLE_MS = 50;
/** So often it is looked for jobs that failed or were lost. */
const LOOK_MS = 2000;
/** So long a gatherer that is not heard of is believed to be at work. */
const GATHERER_SECONDS = 20;

/** A sweep whose works go to a queue. */
export interface QueuedSweep {
  readonly address: URL;
  /** Equal for sweeps that are the same: their plan, their files, their code. */
  readonly name: string;
  readonly version: string;
  readonly title: string | null;
  /** Of the whole sweep. */
  readonly cells: number;
  readonly remark: (text: string) => void;
}

/** Somebody who gathers a sweep's results, one at a time. */
export class Gatherer {
  private readonly token = randomUUID();
  private readonly maker: JobMaker;
  private readonly kept = new Map<string, string>();
  private left = 0;
  private renewal: NodeJS.Timeout | undefined;

  private constructor(
    private readonly sweep: QueuedSweep,
    private readonly redis: Redis,
    private readonly queue: Queue,
  ) {
    this.maker = new JobMaker(sweep.name, sweep.version);
  }

  /** @throws InputError where Redis cannot be used, or another one gathers the same sweep */
  static async open(sweep: QueuedSweep): Promise<Gatherer> {
    const redis = await connected(sweep.address, sweep.remark);
    const queue = await queueOf(redis, sweep.version);
    const gatherer = new Gatherer(sweep, redis, queue);
    try {
      await gatherer.lock();
    } catch (error) {
      redis.disconnect();
      throw error;
    }
    return gatherer;
  }

  /** Runs works as {@link Runner} has it. @throws InputError where some of them cannot be done, when all others are */
  readonly run: Runner = async (works, { keep, end }) => {
    const open = new Map<string, { readonly work: Work; readonly left: Set<string> }>();
    const workOf = new Map<string, string>();
    for (const work of works) {
      const id = jobName(this.maker.jobOf(work));
      open.set(id, { work, left: new Set(work.cells.map(({ name }) => name)) });
      for (const { name } of work.cells) workOf.set(name, id);
    }
    const points = new Map(works.flatMap(({ cells }) => cells.map((cell) => [cell.name, cell.point] as const)));
    await this.patiently(() => offerFiles(this.redis, this.maker.wantedFiles));
    this.left = workOf.size;
    await this.announce(works.length);

    const take = async (): Promise<number> => {
      const lines = await this.patiently(() => this.redis.lrange(resultsKey(this.sweep.name), 0, TAKEN - 1));
      if (lines.length === 0) return 0;
      const fresh = this.fresh(lines, (name) => open.get(workOf.get(name) ?? "")?.left.has(name) ?? false);
      // First to the disk: what is taken out of Redis is not in two places for a while, but never in none.
      if (fresh.length > 0)
        keep(fresh.map(({ cell, rows }) => ({ cell, rows: rows.map((row) => ({ ...points.get(cell)!, ...row })) })));
      this.left -= fresh.length;
      await this.patiently(() => this.redis.ltrim(resultsKey(this.sweep.name), lines.length, -1));
      for (const { cell } of fresh) {
        const id = workOf.get(cell)!;
        const entry = open.get(id)!;
        entry.left.delete(cell);
        if (entry.left.size > 0) continue;
        open.delete(id);
        end(entry.work);
      }
      if (fresh.length > 0) await this.announce(open.size);
      return lines.length;
    };
    while ((await take()) > 0);
    // What was sent to a gatherer that is gone, and was not in Redis any more, is measured again.
    await this.patiently(() => this.redis.del(sentKey(this.sweep.name)));
    await this.give([...open.keys()], open, true);
    for (let looked = performance.now(); open.size > 0;) {
      const failed = performance.now() - looked > LOOK_MS ? await this.failed(open) : undefined;
      if ((await take()) === 0 && failed === undefined) await pause(IDLE_MS);
      if (failed === undefined) continue;
      looked = performance.now();
      if (open.size === 0) break;
      if (failed.length === open.size) throw this.setAside(failed, open);
      const lost = await this.lost([...open.keys()].filter((id) => !failed.some((job) => job.id === id)));
      if (lost.length === 0) continue;
      // A job that is done leaves first its results: what is still missing behind them was lost with a Redis.
      while ((await take()) > 0);
      const missing = lost.filter((id) => open.has(id));
      if (missing.length === 0) continue;
      await this.patiently(() =>
        this.redis.srem(sentKey(this.sweep.name), ...missing.flatMap((id) => [...open.get(id)!.left])),
      );
      await this.patiently(() => offerFiles(this.redis, this.maker.wantedFiles));
      await this.give(missing, open, false);
    }
  };

  /** @param isDone the whole sweep is: nothing of it is left in Redis */
  async close(isDone: boolean): Promise<void> {
    clearInterval(this.renewal);
    if (isDone) await this.patiently(() => forgetSweep(this.redis, this.sweep.name));
    if ((await this.redis.get(gathererKey(this.sweep.name))) === this.token)
      await this.redis.del(gathererKey(this.sweep.name));
    await this.queue.close().catch(() => undefined);
    this.redis.disconnect();
  }

  private patiently<T>(work: () => Promise<T>): Promise<T> {
    return patiently(this.sweep.address, work, this.sweep.remark);
  }

  private async lock(): Promise<void> {
    const key = gathererKey(this.sweep.name);
    const take = (): Promise<unknown> =>
      this.patiently(() => this.redis.set(key, this.token, "EX", GATHERER_SECONDS, "NX"));
    let got = await take();
    // One that was killed is believed for a while.
    if (got === null) this.sweep.remark("another gatherer was heard of lately: waiting for its end");
    for (const began = performance.now(); got === null && performance.now() - began < 1500 * GATHERER_SECONDS;) {
      await pause(500);
      got = await take();
    }
    if (got === null)
      throw new InputError({
        file: "--queue",
        field: shownAddress(this.sweep.address),
        reason: "another `kreplica sweep` gathers the results of this very sweep",
        remedy: "look on with --watch",
      });
    this.renewal = setInterval(
      () => void this.redis.set(key, this.token, "EX", GATHERER_SECONDS).catch(() => undefined),
      (GATHERER_SECONDS * 1000) / 4,
    ).unref();
  }

  private announce(replays: number): Promise<unknown> {
    const { name, version, title, cells } = this.sweep;
    const said: OpenSweep = { version, title, cells, done: cells - this.left, replays };
    return this.patiently(() => announceSweep(this.redis, name, said));
  }

  /**
   * Cells that lines tell of and that are not kept yet.
   * @throws InputError where a cell came before and said something else: one of the two workers is wrong
   */
  private fresh(lines: readonly string[], isWanted: (cell: string) => boolean): readonly DoneCell[] {
    const found: DoneCell[] = [];
    for (const line of lines) {
      const [done] = readJournal(line, lineDigest).cells;
      if (!done) {
        this.sweep.remark("a result came that is none, and was left");
        continue;
      }
      const text = canonicalText(done.rows);
      const before = this.kept.get(done.cell);
      if (before !== undefined && before !== lineDigest(text))
        throw new InputError({
          file: "--queue",
          field: shownAddress(this.sweep.address),
          reason: `two workers measured the cell ${done.cell.slice(0, 16)} and had different results`,
          remedy: "look for the machine that is broken; cells are exact, and a second run of one is the first",
        });
      if (before !== undefined || !isWanted(done.cell)) continue;
      this.kept.set(done.cell, lineDigest(text));
      found.push(done);
    }
    return found;
  }

  /** @param again jobs that were set aside are tried once more */
  private async give(
    ids: readonly string[],
    open: ReadonlyMap<string, { readonly work: Work }>,
    again: boolean,
  ): Promise<void> {
    for (let at = 0; at < ids.length; at += TAKEN) {
      const part = ids.slice(at, at + TAKEN);
      if (again) {
        const there = await this.patiently(() => this.queue.getFailed(0, -1));
        for (const job of there) if (part.includes(job.id!)) await this.patiently(() => job.remove());
      }
      await this.patiently(() =>
        this.queue.addBulk(
          part.map((id) => ({
            name: this.sweep.name,
            data: this.maker.jobOf(open.get(id)!.work),
            opts: {
              jobId: id,
              attempts: TRIES,
              backoff: { type: "exponential", delay: FIRST_PAUSE_MS },
              removeOnComplete: true,
            },
          })),
        ),
      );
    }
  }

  private async failed(open: ReadonlyMap<string, unknown>): Promise<readonly Job[]> {
    const jobs = await this.patiently(() => this.queue.getFailed(0, -1));
    return jobs.filter((job) => job !== undefined && open.has(job.id!));
  }

  /** Jobs that Redis does not know: done, or lost with what it had not written yet. */
  private async lost(ids: readonly string[]): Promise<readonly string[]> {
    const there = await this.patiently(async () => {
      const asked = this.redis.pipeline();
      for (const id of ids) asked.exists(this.queue.toKey(id));
      return (await asked.exec())!.map(([error, count]) => {
        if (error) throw error;
        return count === 1;
      });
    });
    return ids.filter((_, at) => !there[at]);
  }

  /** The list of what could not be done. */
  private setAside(failed: readonly Job[], open: ReadonlyMap<string, { readonly work: Work }>): InputError {
    return allFaults(
      failed.map((job) => {
        const { cells } = open.get(job.id!)!.work;
        return {
          file: "--queue",
          field: Object.entries(cells[0]!.point)
            .map(([axis, value]) => `${axis} ${String(value)}`)
            .join(", "),
          reason: `${cells.length === 1 ? "a cell" : `${cells.length} cells`} set aside after ${job.attemptsMade} of ${TRIES} tries: ${job.failedReason}`,
          remedy: "mend it and give the same command again: what is done stays done",
        };
      }),
    );
  }
}
