/** How many operations a search needs until a rule breaks: the price of finding a bug by chance. */
import type { KernelSource } from "@kreplica/kernel";
import { failureIn } from "./check-failure.js";
import { Coverage } from "./coverage.js";
import { type Comparison, Differential } from "./differential.js";
import { DirectedDrawing } from "./directed.js";
import { seedOfRun } from "./drawing.js";
import { Repertoire } from "./families.js";
import type { OperationFamily } from "./family.js";

export interface EffortOptions {
  readonly kernel: KernelSource;
  readonly families: readonly OperationFamily[];
  readonly seed: number;
  /** Operations of a run. */
  readonly steps: number;
  /** Operations after which the search is given up. */
  readonly most: number;
  readonly comparison?: Comparison;
  /** Whether runs are drawn toward what was not seen yet. */
  readonly directed: boolean;
}

/**
 * Searches as a campaign does, until the first failure.
 * @returns operations done, 0 where the boot breaks a rule; undefined where nothing broke
 */
export function operationsToFind(options: EffortOptions): number | undefined {
  const { kernel, families, seed: first, steps, most, comparison = "off", directed } = options;
  const repertoire = new Repertoire(families);
  const drawing = new DirectedDrawing(new Coverage());
  let system: Differential | undefined;
  let done = 0;
  for (let run = 0; done < most; run++) {
    const seed = seedOfRun(first, run);
    const operations = directed ? drawing.drawRun(repertoire, seed, steps, run) : repertoire.drawRun(seed, steps);
    let before = 0;
    const failure = failureIn(() => {
      system ??= new Differential(kernel, comparison, families, directed ? { coverage: drawing.coverage } : {});
      before = system.subject.steps;
      system.run(operations);
    });
    if (failure) return done + (system ? system.subject.steps - before : 0);
    done += steps;
    if (directed) drawing.learn(operations, system!.subject.newsAt - before);
    if (system?.isSpent) system = undefined;
  }
  return undefined;
}

/** The median of what searches came to; those that found nothing count as longer than all. */
export function medianEffort(efforts: readonly (number | undefined)[]): number | undefined {
  const sorted = efforts.map((each) => each ?? Infinity).sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return median === Infinity ? undefined : median;
}
