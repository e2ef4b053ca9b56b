/**
 * Counts of several runs of a workload, and their mean: where a single one would show none of what comes now and then.
 */
import type { Run, WindowCounts } from "./replayer.js";

/** A sum that begins with one run. */
export class RunSum {
  runs = 1;
  private readonly counters: Float64Array;
  private readonly windows: WindowCounts;

  constructor({ counters, windows }: Pick<Run, "counters" | "windows">) {
    this.counters = counters.slice();
    this.windows = { first: windows.first.slice(), others: windows.others.slice() };
  }

  add({ counters, windows }: Pick<Run, "counters" | "windows">): void {
    const add = (to: Float64Array, more: Float64Array): void => {
      for (let at = 0; at < to.length; at++) to[at]! += more[at]!;
    };
    add(this.counters, counters);
    add(this.windows.first, windows.first);
    add(this.windows.others, windows.others);
    this.runs++;
  }

  /** Of one run. */
  mean(): Pick<Run, "counters" | "windows"> {
    const mean = (counts: Float64Array): Float64Array => counts.map((count) => count / this.runs);
    const { first, others } = this.windows;
    return { counters: mean(this.counters), windows: { first: mean(first), others: mean(others) } };
  }
}
