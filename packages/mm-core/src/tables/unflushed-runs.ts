/** Runs of pages whose mappings were changed lazily: what CPUs may hold that the tables no longer say. */
import { endOf, overlap, type PageRange, pagesBetween } from "@kreplica/hw-x86/api";

/** Above this many they are kept as one run over all of them: it may say too much, never too little. */
const MOST = 1024;

/** Runs that were changed and not flushed since. */
export class UnflushedRuns {
  private list: PageRange[] = [];

  get runs(): readonly PageRange[] {
    return this.list;
  }

  add(runs: readonly PageRange[]): void {
    for (const run of runs) {
      const last = this.list.at(-1);
      if (last && endOf(last) === run.start)
        this.list[this.list.length - 1] = { start: last.start, pages: last.pages + run.pages };
      else this.list.push(run);
    }
    if (this.list.length <= MOST) return;
    const start = this.list.reduce((least, run) => (run.start < least ? run.start : least), this.list[0]!.start);
    const end = this.list.reduce((most, run) => (endOf(run) > most ? endOf(run) : most), start);
    this.list = [pagesBetween(start, end)];
  }

  /** These were flushed on every CPU. */
  remove(flushed: readonly PageRange[]): void {
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
function without(run: PageRange, gone: PageRange): PageRange[] {
  const before = pagesBetween(run.start, gone.start);
  const behind = pagesBetween(endOf(gone), endOf(run));
  return [before, behind].filter(({ pages }) => pages > 0);
}
