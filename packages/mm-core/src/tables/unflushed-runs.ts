/** Runs of pages whose mappings were changed lazily: what CPUs may hold that the tables no longer say. */
import { PAGE } from "@kreplica/hw-x86/api";

/** Pages of 4 KiB one after the other. */
export interface PageRun {
  readonly start: bigint;
  readonly pages: number;
}

const endOf = ({ start, pages }: PageRun): bigint => start + BigInt(pages) * PAGE;

/** Whether two runs have a page in common. */
export const overlap = (a: PageRun, b: PageRun): boolean => a.start < endOf(b) && b.start < endOf(a);

/** Above this many they are kept as one run over all of them: it may say too much, never too little. */
const MOST = 1024;

/** Runs that were changed and not flushed since. */
export class UnflushedRuns {
  private list: PageRun[] = [];

  get runs(): readonly PageRun[] {
    return this.list;
  }

  add(runs: readonly PageRun[]): void {
    for (const run of runs) {
      const last = this.list.at(-1);
      if (last && endOf(last) === run.start)
        this.list[this.list.length - 1] = { start: last.start, pages: last.pages + run.pages };
      else this.list.push(run);
    }
    if (this.list.length <= MOST) return;
    const start = this.list.reduce((least, run) => (run.start < least ? run.start : least), this.list[0]!.start);
    const end = this.list.reduce((most, run) => (endOf(run) > most ? endOf(run) : most), start);
    this.list = [{ start, pages: Number((end - start) >> 12n) }];
  }

  /** These were flushed on every CPU. */
  remove(flushed: readonly PageRun[]): void {
    for (const gone of flushed) {
      if (!this.list.some((run) => overlap(run, gone))) continue;
      this.list = this.list.flatMap((run) => (overlap(run, gone) ? without(run, gone) : [run]));
    }
  }

  /** Everything was. */
  clear(): void {
    this.list = [];
  }
}

/** What is left of a run on either side of another that meets it. */
function without(run: PageRun, gone: PageRun): PageRun[] {
  const before = Number((gone.start - run.start) >> 12n);
  const behind = Number((endOf(run) - endOf(gone)) >> 12n);
  return [
    ...(before > 0 ? [{ start: run.start, pages: before }] : []),
    ...(behind > 0 ? [{ start: endOf(gone), pages: behind }] : []),
  ];
}
