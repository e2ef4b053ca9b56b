/**
 * A job of a sweep's queue: data and digests of files, no code. What a worker takes is held to this shape before
 * anything is done with it.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { MachineSpec } from "@kreplica/hw-x86";
import { extensions } from "@kreplica/kernel";
import { checkMachine } from "@kreplica/machines";
import { canonicalText } from "@kreplica/sweep";
import { z } from "zod";
import { isLongRun, scheduleBeside } from "../inputs/trace-file.js";
import { sha256 } from "../sweep/cells.js";
import type { Work } from "../sweep/run-batches.js";

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const whole = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** A file by its digest; the name says what kind of file it is, and is no path. */
const namedFile = z.strictObject({ name: z.string().regex(/^(?!\.)[A-Za-z0-9._+-]{1,200}$/), sha256: digest });
export type NamedFile = z.infer<typeof namedFile>;

export const jobShape = z.strictObject({
  /** Of the sweep that wants it. */
  sweep: digest,
  /** Of the code that measures. */
  version: digest,
  /** Of the plugin files in use and all that they import, in their order. */
  plugins: z.array(digest).max(10_000),
  /** Names of the cells that are wanted, as many as `wanted`. */
  cells: z.array(digest).min(1),
  recording: namedFile,
  schedule: namedFile.nullable(),
  kernel: namedFile.nullable(),
  recorded: z
    .strictObject({
      kernel: namedFile,
      nodes: z.array(z.strictObject({ firstPage: whole, pages: whole, cpus: z.array(whole) })).max(64),
    })
    .nullable(),
  where: z.strictObject({ cpu: whole, masterNode: whole, dataNode: whole, madeOn: z.exactOptional(whole) }),
  pti: z.boolean(),
  levels: z.union([z.literal(4), z.literal(5)]),
  seed: whole,
  work: z.boolean(),
  inPart: z.boolean(),
  specs: z.array(z.custom<MachineSpec>(isMachine, "no machine")).min(1),
  loads: z.array(z.string().max(1000).nullable()).min(1),
  pressure: z.exactOptional(z.strictObject({ mbsPerCore: whole })),
  layout: z.strictObject({ seed: whole, number: whole }).nullable(),
  policies: z.array(z.string().max(200)).min(1),
  wanted: z.array(z.tuple([whole, whole])).min(1),
});
/** What a worker is told. */
export type QueueJob = z.infer<typeof jobShape>;

function isMachine(value: unknown): boolean {
  try {
    return checkMachine(value as MachineSpec).length === 0;
  } catch {
    return false;
  }
}

/** A file that a worker may lack: where it lies here. */
export interface WantedFile extends NamedFile {
  readonly path: string;
}

/** Digests of the plugin files in use, and of what they import. */
export const pluginDigests = (): readonly string[] => extensions().read.map((file) => sha256(readFileSync(file)));

/** What becomes of works as jobs; files are read once. */
export class JobMaker {
  private readonly files = new Map<string, WantedFile>();
  private readonly plugins = pluginDigests();

  constructor(
    private readonly sweep: string,
    private readonly version: string,
  ) {}

  /** Files of all jobs that were made, each once. */
  get wantedFiles(): readonly WantedFile[] {
    return [...this.files.values()];
  }

  jobOf({ cells, batch }: Work): QueueJob {
    const { file, kernel, recording, specs, loads, layout, policies, wanted, where, pti, levels, seed, work, inPart } =
      batch;
    return {
      sweep: this.sweep,
      version: this.version,
      plugins: [...this.plugins],
      cells: cells.map(({ name }) => name),
      recording: this.named(file),
      schedule: isLongRun(file) ? this.named(scheduleBeside(file)) : null,
      kernel: kernel ? this.named(kernel.file) : null,
      recorded: recording
        ? {
            kernel: this.named(recording.kernel),
            nodes: recording.nodes.map(({ firstPage, pages, cpus }) => ({ firstPage, pages, cpus: [...cpus] })),
          }
        : null,
      where,
      pti,
      levels,
      seed,
      work: work ?? true,
      inPart,
      specs: [...specs],
      loads: [...loads],
      ...(batch.pressure === undefined ? {} : { pressure: batch.pressure }),
      layout,
      policies: [...policies],
      wanted: wanted.map(([spec, policy]) => [spec, policy]),
    };
  }

  private named(path: string): NamedFile {
    let file = this.files.get(path);
    if (!file) {
      const name = basename(path)
        .replaceAll(/[^A-Za-z0-9._+-]/g, "_")
        .replace(/^\./, "_");
      this.files.set(path, (file = { name, sha256: sha256(readFileSync(path)), path }));
    }
    return { name: file.name, sha256: file.sha256 };
  }
}

/** Equal for jobs that are the same: given twice it is done once. */
export const jobName = (job: QueueJob): string =>
  sha256(canonicalText({ sweep: job.sweep, cells: job.cells })).slice(0, 40);
