/**
 * Files by their digests: put into Redis by whoever has them, fetched by a worker that lacks them. What arrives is held
 * to the digest it was asked for by.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { InputError } from "@kreplica/inputs";
import { scheduleBeside } from "../inputs/trace-file.js";
import { shippedTraces } from "../inputs/traces.js";
import type { Batch } from "../sweep/batch.js";
import { replaceFile } from "../replace-file.js";
import { sha256 as sha256Of } from "../sweep/cells.js";
import type { NamedFile, QueueJob, WantedFile } from "./job.js";
import { PREFIX, type Redis } from "./redis.js";

/** Redis holds at most 512 MiB in a value; a file goes in parts. */
const PART_BYTES = 8 << 20;
const MOST_BYTES = 1 << 30;
/** After so long without a sweep that wants it a file is forgotten. */
const KEPT_SECONDS = 7 * 24 * 3600;

const keyOf = (sha256: string): string => `${PREFIX}:file:${sha256}`;

/** Recordings and schedules that every kreplica has, by name. */
const shipped = (): ReadonlyMap<string, string> =>
  new Map(
    shippedTraces().flatMap((file) => [file, scheduleBeside(file)].map((each) => [basename(each), each] as const)),
  );

/**
 * Puts files there that are not, but for those that every kreplica has.
 * @throws InputError for one that is too large
 */
export async function offerFiles(redis: Redis, files: readonly WantedFile[]): Promise<void> {
  const own = new Set(shipped().values());
  for (const { path, sha256 } of files) {
    if (own.has(path)) continue;
    const key = keyOf(sha256);
    if ((await redis.expire(key, KEPT_SECONDS)) === 1) continue;
    const bytes = readFileSync(path);
    if (bytes.length > MOST_BYTES)
      throw new InputError({
        file: path,
        reason: "larger than 1 GiB, which is much for a queue",
        remedy: "pack it with zstd, or give the shards of the plan (--shard) on machines that have it",
      });
    // Under a name of its own until it is whole: a worker finds all of it or nothing.
    const part = `${key}:part:${process.pid}`;
    await redis.del(part);
    for (let at = 0; at < bytes.length || at === 0; at += PART_BYTES)
      await redis.rpush(part, bytes.subarray(at, at + PART_BYTES));
    await redis.expire(part, KEPT_SECONDS);
    await redis.rename(part, key);
  }
}

/** Thrown where a file is neither here nor in Redis: tried again, because it may come. */
export class LackingFile extends Error {
  override readonly name = "LackingFile";
}

/** A worker's own copies. */
export class FileCache {
  private readonly folder = mkdtempSync(join(tmpdir(), "kreplica-worker-"));
  private readonly own = shipped();
  private readonly known = new Map<string, string>();

  constructor(private readonly redis: Redis) {}

  /** What a job names, as a batch whose files lie here. @throws LackingFile */
  async batchOf(job: QueueJob): Promise<Batch> {
    const { recording, schedule, kernel, recorded, specs, loads, layout, policies, wanted } = job;
    const { where, pti, levels, seed, work, pressure, inPart } = job;
    const [file, lines, kernelFile, recordedFile] = await Promise.all(
      [recording, schedule, kernel, recorded?.kernel ?? null].map((each) => each && this.fileOf(each)),
    );
    return {
      file: this.beside(file!, lines ?? null, recording, schedule),
      ...(kernelFile ? { kernel: { file: kernelFile } } : {}),
      ...(recordedFile && recorded ? { recording: { kernel: recordedFile, nodes: recorded.nodes } } : {}),
      where,
      pti,
      levels,
      seed,
      work,
      ...(pressure === undefined ? {} : { pressure }),
      inPart,
      specs,
      loads,
      layout,
      policies,
      wanted,
    };
  }

  /** To be called at the end. */
  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async fileOf({ name, sha256 }: NamedFile): Promise<string> {
    const key = `${sha256} ${name}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const own = this.own.get(name);
    let path = own !== undefined && existsSync(own) && sha256Of(readFileSync(own)) === sha256 ? own : undefined;
    path ??= await this.fetched(name, sha256);
    this.known.set(key, path);
    return path;
  }

  private async fetched(name: string, sha256: string): Promise<string> {
    const parts = await this.redis.lrangeBuffer(keyOf(sha256), 0, -1);
    const bytes = Buffer.concat(parts);
    if (parts.length === 0)
      throw new LackingFile(
        `${name} (sha256 ${sha256}) is neither on this worker nor in Redis: give the sweep's command again`,
      );
    if (sha256Of(bytes) !== sha256)
      throw new LackingFile(`what Redis has as ${name} (sha256 ${sha256}) has another digest: remove ${keyOf(sha256)}`);
    const folder = join(this.folder, sha256);
    mkdirSync(folder, { recursive: true });
    const path = join(folder, name);
    replaceFile(path, bytes, { part: join(folder, `.part-${process.pid}`) });
    return path;
  }

  /** A recording lies beside its schedule, or without one: its run is a long one where one is there. */
  private beside(file: string, lines: string | null, recording: NamedFile, schedule: NamedFile | null): string {
    if (
      lines === null
        ? !existsSync(scheduleBeside(file)) || scheduleBeside(file) === file
        : scheduleBeside(file) === lines
    )
      return file;
    const folder = join(this.folder, `${recording.sha256}-${schedule?.sha256 ?? "alone"}`);
    mkdirSync(folder, { recursive: true });
    const both = join(folder, recording.name);
    if (!existsSync(both)) symlinkSync(file, both);
    if (lines !== null && !existsSync(scheduleBeside(both))) symlinkSync(lines, scheduleBeside(both));
    return both;
  }
}
