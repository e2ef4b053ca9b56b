/** A sweep from plan to results: which cells there are, which are done already, and the others done. */
import { availableParallelism } from "node:os";
import { InputError } from "@kreplica/inputs";
import {
  axesOf,
  canonicalText,
  type DoneCell,
  groupsAlong,
  type Row,
  type SweepPlan,
  type StopRule,
  wantedOf,
} from "@kreplica/sweep";
import type { Progress } from "../report/terminal.js";
import type { SweepManifest, SweepResults, SweepShard } from "../report/documents/sweep.js";
import { measureBatch } from "./batch.js";
import { type Cell, sha256 } from "./cells.js";
import { sampled, secondsOf } from "./estimate.js";
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
 * Cells of a shard: whole replays, so that none is made in two shards, and whole groups of a stop rule, whose end is
 * seen from all of it; dealt out by what they take.
 *
 * @param groups of the stop rule, by cell; none where there is no rule @returns in the plan's order
 */
export function shardOf(
  works: readonly Work[],
  cells: readonly Cell[],
  shard: SweepShard | null,
  groups: readonly number[] | undefined,
): readonly Cell[] {
  if (shard === null) return cells;
  const groupOf = new Map(groups?.map((group, at) => [cells[at]!, group]));
  const own = new Set<Cell>();
  const loads = Array.from({ length: shard.of }, () => 0);
  for (const part of inseparable(works, groupOf).sort((a, b) => b.effort - a.effort)) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least]! += part.effort;
    if (least === shard.nth - 1) for (const cell of part.cells) own.add(cell);
  }
  return cells.filter((cell) => own.has(cell));
}

const effortOfAll = (works: readonly Work[]): number => works.reduce((sum, { effort }) => sum + effort, 0);

interface Part {
  readonly cells: readonly Cell[];
  readonly effort: number;
}

/** Works joined where they have cells of one group. */
function inseparable(works: readonly Work[], groupOf: ReadonlyMap<Cell, number>): Part[] {
  if (groupOf.size === 0) return [...works];
  const parts: { readonly works: Work[]; readonly groups: Set<number> }[] = [];
  for (const work of works) {
    const groups = new Set(work.cells.map((cell) => groupOf.get(cell)!));
    const joined = parts.filter((part) => [...part.groups].some((group) => groups.has(group)));
    for (const part of joined) parts.splice(parts.indexOf(part), 1);
    parts.push({
      works: [...joined.flatMap((part) => part.works), work],
      groups: new Set([...joined.flatMap((part) => [...part.groups]), ...groups]),
    });
  }
  return parts.map((part) => ({
    cells: part.works.flatMap(({ cells }) => cells),
    effort: effortOfAll(part.works),
  }));
}

/** Groups of a plan's stop rule, by cell. */
const groupsOf = ({ plan, cells }: SweepRequest): readonly number[] | undefined =>
  plan.stop &&
  groupsAlong(
    plan.stop.along,
    cells.map(({ point }) => point),
  );

/** Cells that are wanted as far as it is known, and those of them that are not done. */
function openOf(
  names: readonly string[],
  done: ReadonlyMap<string, DoneCell>,
  rule: StopRule | undefined,
  groups: ReadonlyMap<string, number>,
): { readonly wanted: readonly string[]; readonly missing: readonly string[] } {
  if (!rule) return { wanted: names, missing: names.filter((name) => !done.has(name)) };
  const { cells, missing } = wantedOf(
    rule,
    names.map((name) => groups.get(name)!),
    (cell): readonly Row[] | undefined => done.get(names[cell]!)?.rows,
  );
  return { wanted: cells.map((cell) => names[cell]!), missing: missing.map((cell) => names[cell]!) };
}

function manifestOf(request: SweepRequest): SweepManifest {
  const { plan, cells, version, shard } = request;
  const groups = groupsOf(request);
  return {
    schema: "kreplica.sweep-manifest/1",
    title: plan.title ?? null,
    plan: canonicalText(plan),
    version,
    axes: axesOf(plan),
    shard,
    cells: cells.map(({ name }) => name),
    ...(groups && plan.stop ? { stop: { ...plan.stop, groups } } : {}),
  };
}

/** What a queue calls a sweep: equal where plan, code and all files are. */
export const sweepName = (request: SweepRequest): string => sha256(canonicalText(manifestOf(request)));

/** A request's cells, and which of them are left to measure. */
class Course {
  readonly own: readonly Cell[];
  private readonly names: readonly string[];
  private readonly groups: ReadonlyMap<string, number>;

  constructor(private readonly request: SweepRequest) {
    const { cells, shard } = request;
    const groups = groupsOf(request);
    this.own = shardOf(this.worksOf(cells), cells, shard, groups);
    this.names = this.own.map(({ name }) => name);
    this.groups = new Map(groups?.map((group, at) => [cells[at]!.name, group]));
  }

  /** What is wanted as far as it is known, and the replays that it takes. */
  next(done: ReadonlyMap<string, DoneCell>): { readonly wanted: readonly string[]; readonly works: readonly Work[] } {
    const { wanted, missing } = openOf(this.names, done, this.request.plan.stop, this.groups);
    const open = new Set(missing);
    return { wanted, works: this.worksOf(this.own.filter(({ name }) => open.has(name))) };
  }

  private worksOf(cells: readonly Cell[]): readonly Work[] {
    return worksOf(cells, this.request.plan.inPart ?? false);
  }

  /** Replays of all cells that are not done, whatever a stop rule will leave out. */
  most(done: ReadonlyMap<string, DoneCell>): readonly Work[] {
    return this.worksOf(this.own.filter(({ name }) => !done.has(name)));
  }
}

/**
 * Counts, and measures some replays to tell how long all may take, a stop rule's cells too; keeps nothing.
 * @throws InputError as {@link sweep}
 */
export async function outlook(request: SweepRequest): Promise<Outlook> {
  const course = new Course(request);
  const done = byName(doneIn(request.folder));
  const works = course.most(done);
  let seconds = 0;
  if (works.length > 0) {
    const { first, samples } = await sampled(works, async ({ batch }) => {
      const begin = performance.now();
      await measureBatch(batch, () => undefined);
      return (performance.now() - begin) / 1000;
    });
    seconds = secondsOf(works, samples, first, request.workers ?? availableParallelism());
  }
  return {
    cells: course.own.length,
    replays: works.length,
    doneBefore: course.own.filter(({ name }) => done.has(name)).length,
    estimatedSeconds: Math.ceil(seconds),
  };
}

const byName = (cells: readonly DoneCell[]): ReadonlyMap<string, DoneCell> =>
  new Map(cells.map((each) => [each.cell, each]));

/**
 * Does the cells that are not done, and writes the results when all are; with a stop rule round by round, until what is
 * known is enough.
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
): Promise<Omit<Outlook, "estimatedSeconds"> & { readonly leftOut?: number; readonly results: SweepResults }> {
  const course = new Course(request);
  const folder = new SweepFolder(
    request.folder,
    manifestOf(request),
    course.own.map(({ name }) => name),
  );
  try {
    const before = folder.doneCells.size;
    let replays = 0;
    let next = course.next(folder.doneCells);
    if (next.works.length > 0) {
      // By what a cell takes, its share of its replay; a stop rule ends before the end of the line.
      progress.start(effortOfAll(course.most(folder.doneCells)), "booting");
      const running = new Set<Work>();
      const now = (): string => [...running].map(nameOf).join("; ");
      for (; next.works.length > 0; next = course.next(folder.doneCells)) {
        replays += next.works.length;
        const efforts = new Map(
          next.works.flatMap(({ cells, effort }) => cells.map(({ name }) => [name, effort / cells.length] as const)),
        );
        await run(next.works, {
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
      }
      progress.stop();
    }
    folder.finish(next.wanted);
    return {
      cells: course.own.length,
      replays,
      doneBefore: before,
      ...(request.plan.stop ? { leftOut: course.own.length - next.wanted.length } : {}),
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
): { readonly cells: number; readonly leftOut?: number; readonly results: SweepResults } {
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
  const cells = byName(shards.flatMap((shard) => shard.cells));
  const groups = new Map(manifest.stop?.groups.map((group, at) => [manifest.cells[at]!, group]));
  const {
    wanted,
    missing: [lacking],
  } = openOf(manifest.cells, cells, manifest.stop, groups);
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
    folder.finish(wanted);
  } finally {
    folder.close();
  }
  return {
    cells: manifest.cells.length,
    ...(manifest.stop ? { leftOut: manifest.cells.length - wanted.length } : {}),
    results: readManifest(output).results!,
  };
}
