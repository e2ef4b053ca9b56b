/** A sweep from plan to results: which cells there are, which are done already, and the others done. */
import { availableParallelism } from "node:os";
import { InputError } from "@kreplica/inputs";
import { axesOf, canonicalText, type DoneCell, type SweepPlan } from "@kreplica/sweep";
import type { Progress } from "../report/terminal.js";
import type { SweepManifest, SweepResults, SweepShard } from "../report/documents/sweep.js";
import { measureBatch } from "./batch.js";
import { type Cell, sha256 } from "./cells.js";
import { doneIn, readManifest, SweepFolder } from "./folder.js";
import { type Runner, runWorks, type Work, worksOf } from "./run-batches.js";

/** What is to be done. */
export interface SweepRequest {
  readonly plan: SweepPlan;
  readonly cells: readonly Cell[];
  readonly version: string;
  readonly folder: string;
  readonly shard: SweepShard | null;
  /** Absent: as many as there are CPUs. */
  readonly workers?: number;
}

/** What a sweep comes to before it is done. */
export interface Outlook {
  /** Of the shard. */
  readonly cells: number;
  readonly replays: number;
  readonly doneBefore: number;
  readonly estimatedSeconds: number;
}

/**
 * Cells of a shard: whole replays, so that none is made in two shards, dealt out by what they take.
 * @returns in the plan's order
 */
export function shardOf(works: readonly Work[], cells: readonly Cell[], shard: SweepShard | null): readonly Cell[] {
  if (shard === null) return cells;
  const own = new Set<Cell>();
  const loads = Array.from({ length: shard.of }, () => 0);
  for (const work of [...works].sort((a, b) => b.effort - a.effort)) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least]! += work.effort;
    if (least === shard.nth - 1) for (const cell of work.cells) own.add(cell);
  }
  return cells.filter((cell) => own.has(cell));
}

const manifestOf = ({ plan, cells, version, shard }: SweepRequest): SweepManifest => ({
  schema: "kreplica.sweep-manifest/1",
  title: plan.title ?? null,
  plan: canonicalText(plan),
  version,
  axes: axesOf(plan),
  shard,
  cells: cells.map(({ name }) => name),
});

/** What a queue calls a sweep: equal where plan, code and all files are. */
export const sweepName = (request: SweepRequest): string => sha256(canonicalText(manifestOf(request)));

/** The replays that are left. */
function left(cells: readonly Cell[], done: ReadonlySet<string>, { plan }: SweepRequest): readonly Work[] {
  return worksOf(
    cells.filter(({ name }) => !done.has(name)),
    plan.inPart ?? false,
  );
}

/**
 * Counts, and measures the shortest replay to tell how long all may take; keeps nothing.
 * @throws InputError as {@link sweep}
 */
export async function outlook(request: SweepRequest): Promise<Outlook> {
  const own = shardOf(worksOf(request.cells, request.plan.inPart ?? false), request.cells, request.shard);
  const done = new Set(doneIn(request.folder).map(({ cell }) => cell));
  const works = left(own, done, request);
  const efforts = works.map(({ effort }) => effort);
  const least = works[efforts.indexOf(Math.min(...efforts))];
  let seconds = 0;
  if (least) {
    // Once for what is compiled and read, once for what it takes.
    await measureBatch(least.batch, () => undefined);
    const begin = performance.now();
    await measureBatch(least.batch, () => undefined);
    const each = (performance.now() - begin) / 1000 / least.effort;
    const workers = Math.min(request.workers ?? availableParallelism(), works.length);
    seconds = Math.max(
      Math.max(...efforts) * each,
      (efforts.reduce((sum, effort) => sum + effort, 0) * each) / workers,
    );
  }
  return {
    cells: own.length,
    replays: works.length,
    doneBefore: own.filter(({ name }) => done.has(name)).length,
    estimatedSeconds: Math.ceil(seconds),
  };
}

/**
 * Does the cells that are not done, and writes the results when all are.
 *
 * @param run does what is left: here, or by a queue
 * @returns what was done before, and the results
 * @throws InputError where the folder is another sweep's or cannot be written, or a recording cannot be used; what is
 *   done stays done
 */
export async function sweep(
  request: SweepRequest,
  progress: Progress,
  run: Runner = (works, told) => runWorks(works, request.workers ?? availableParallelism(), told),
): Promise<Omit<Outlook, "estimatedSeconds"> & { readonly results: SweepResults }> {
  const own = shardOf(worksOf(request.cells, request.plan.inPart ?? false), request.cells, request.shard);
  const folder = new SweepFolder(
    request.folder,
    manifestOf(request),
    own.map(({ name }) => name),
  );
  try {
    const before = folder.doneCells;
    const works = left(own, before, request);
    if (works.length > 0) {
      // By what a cell takes: its share of its replay.
      const efforts = new Map(
        works.flatMap(({ cells, effort }) => cells.map(({ name }) => [name, effort / cells.length] as const)),
      );
      progress.start(
        works.reduce((sum, { effort }) => sum + effort, 0),
        "booting",
      );
      const running = new Set<Work>();
      const now = (): string => [...running].map(nameOf).join("; ");
      await run(works, {
        begin(work) {
          running.add(work);
          progress.step(0, now());
        },
        keep(done: readonly DoneCell[]) {
          folder.add(done);
          progress.step(
            done.reduce((sum, { cell }) => sum + efforts.get(cell)!, 0),
            now(),
          );
        },
        end: (work) => running.delete(work),
      });
      progress.stop();
    }
    folder.finish();
    return {
      cells: own.length,
      replays: works.length,
      doneBefore: before.size,
      results: readManifest(request.folder).results!,
    };
  } finally {
    folder.close();
  }
}

/** A replay in a word. */
const nameOf = ({ cells }: Work): string => {
  const { point } = cells[0]!;
  return (
    [point["recording"], point["machine"]].filter((each) => each !== undefined && each !== null).join(" on ") ||
    "a replay"
  );
};

/**
 * Shards of one sweep joined: the folder a single run would have written, byte for byte.
 * @throws InputError where they are not all shards of one sweep, each once and each done
 */
export function merge(
  folders: readonly string[],
  output: string,
): { readonly cells: number; readonly results: SweepResults } {
  const shards = folders.map((path) => ({ path, manifest: readManifest(path), cells: doneIn(path) }));
  const first = shards[0]!;
  const fault = (file: string, reason: string, remedy: string): never => {
    throw new InputError({ file, reason, remedy });
  };
  const seen = new Map<number, string>();
  for (const { path, manifest } of shards) {
    if (manifest.shard === null) fault(path, "is no shard: it is a whole sweep", "name folders of --shard");
    if (manifest.plan !== first.manifest.plan)
      fault(path, `is of another plan than ${first.path}`, "name shards of one plan");
    if (manifest.version !== first.manifest.version)
      fault(path, `was measured by other code than ${first.path}`, "measure both with the same kreplica");
    if (canonicalText(manifest.cells) !== canonicalText(first.manifest.cells))
      fault(
        path,
        `its plan's files were not those of ${first.path}`,
        "measure both with the same recordings and kernels",
      );
    const { nth, of } = manifest.shard!;
    if (of !== first.manifest.shard!.of)
      fault(
        path,
        `is one of ${of} shards, and ${first.path} one of ${first.manifest.shard!.of}`,
        "name shards of one division",
      );
    const twin = seen.get(nth);
    if (twin !== undefined) fault(path, `is shard ${nth}/${of}, as ${twin} is`, "name each once");
    seen.set(nth, path);
    if (manifest.results === undefined) fault(path, `shard ${nth}/${of} is not done`, "give its command again first");
  }
  const { of } = first.manifest.shard!;
  const missing = Array.from({ length: of }, (_, i) => i + 1).filter((nth) => !seen.has(nth));
  if (missing.length > 0)
    fault(
      first.path,
      `shards ${missing.map((nth) => `${nth}/${of}`).join(", ")} are missing`,
      "name the folders of all shards",
    );
  const { results: _, ...manifest } = first.manifest;
  const cells = new Map(shards.flatMap((shard) => shard.cells.map((cell) => [cell.cell, cell])));
  const lacking = manifest.cells.find((name) => !cells.has(name));
  if (lacking !== undefined)
    fault(
      first.path,
      `no shard has the cell ${lacking}`,
      "give the commands of the shards again: what they lack is measured",
    );
  const folder = new SweepFolder(output, { ...manifest, shard: null });
  try {
    const done = folder.doneCells;
    folder.add([...cells.values()].filter(({ cell }) => !done.has(cell)));
    folder.finish();
  } finally {
    folder.close();
  }
  return { cells: manifest.cells.length, results: readManifest(output).results! };
}
