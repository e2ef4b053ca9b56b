/**
 * Many runs on kernels of many kinds; a failure is shrunk to the shortest list of operations that still fails the same
 * way.
 */
import type { KernelSource } from "@kreplica/kernel";
import { CheckFailure, failureIn } from "./check-failure.js";
import { Coverage, type CoverageCount } from "./coverage.js";
import { type Comparison, Differential } from "./differential.js";
import { DirectedDrawing } from "./directed.js";
import { seedOfRun } from "./drawing.js";
import { ALL_FAMILIES, FAMILIES, Repertoire } from "./families.js";
import type { Operation, OperationFamily } from "./family.js";

export interface CampaignOptions {
  readonly runs: number;
  /** Operations of a run. */
  readonly steps: number;
  readonly seed: number;
  /** When each run is compared with the same run on a single-copy kernel; "end" when absent. */
  readonly comparison?: Comparison;
  /** What may be done; all there is when absent. */
  readonly families?: readonly OperationFamily[];
  /** Kernels to check, in turn. */
  readonly kernels: readonly KernelSource[];
  /** Whether runs are drawn toward what was not seen yet, see {@link DirectedDrawing}; as chance has it when absent. */
  readonly directed?: boolean;
  /** Called after each run. */
  readonly onRun?: (done: number) => void;
}

/** A broken rule with the way to it. */
export interface Counterexample {
  readonly invariant: string;
  readonly detail: string;
  readonly operations: readonly Operation[];
  /** Which of the kernels. */
  readonly kernel: number;
  readonly seed: number;
}

/** What a campaign came to. */
export interface CampaignResult {
  readonly runs: number;
  readonly steps: number;
  readonly violations: readonly Counterexample[];
  /** Runs that memory kept from being compared with the single copy to their end. */
  readonly parted: number;
  /** What was seen of CPUs' tables, where runs were directed. */
  readonly coverage?: CoverageCount | undefined;
}

/** Runs a list on a fresh kernel. @returns what failed, or undefined */
export function failureOf(
  kernel: KernelSource,
  operations: readonly Operation[],
  comparison: Comparison = "end",
  families: readonly OperationFamily[] = ALL_FAMILIES,
): CheckFailure | undefined {
  return failureIn(() => {
    new Differential(kernel, comparison, families).run(operations);
  });
}

/** How a list is tried. */
type Trial = Pick<CampaignOptions, "comparison" | "families">;

/** What is left of a list that was shrunk, and how it fails. */
export interface Shrunk {
  readonly operations: readonly Operation[];
  readonly failure: CheckFailure;
}

/** As {@link shrinkSteps}, all at once. */
export function shrink(
  kernel: KernelSource,
  operations: readonly Operation[],
  invariant: string,
  trial: Trial = {},
  trials = 400,
): Shrunk | undefined {
  const steps = shrinkSteps(
    operations,
    invariant,
    (candidate) => failureOf(kernel, candidate, trial.comparison, trial.families),
    new Repertoire(trial.families),
    trials,
  );
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/**
 * Takes away what is not needed: halves, quarters, single operations, until nothing more can go. Yields after each list
 * tried.
 * @param attempt runs a list on a fresh kernel @param trials lists it may try @returns undefined when the whole list
 *   does not fail that way
 */
export function* shrinkSteps(
  operations: readonly Operation[],
  invariant: string,
  attempt: (candidate: readonly Operation[]) => CheckFailure | undefined,
  repertoire: Repertoire,
  trials = 400,
): Generator<void, Shrunk | undefined> {
  let best = [...operations];
  let failure = attempt(best);
  yield;
  if (failure?.invariant !== invariant) return undefined;
  for (let size = Math.ceil(best.length / 2); size >= 1 && trials > 0;) {
    let removed = false;
    for (let at = 0; at < best.length && trials > 0;) {
      const candidate = [...best.slice(0, at), ...best.slice(at + size)];
      // With an operation go its allocations: a refusal that counted them has to come sooner.
      const sooner = candidate.some((each) => each.op === "refuse")
        ? [candidate.map((each) => (each.op === "refuse" ? { ...each, nth: 1 } : each))]
        : [];
      let found: CheckFailure | undefined;
      for (const each of [candidate, ...sooner]) {
        trials--;
        found = attempt(each);
        yield;
        if (found?.invariant !== invariant) continue;
        best = each;
        failure = found;
        removed = true;
        break;
      }
      if (found?.invariant !== invariant) at += size;
    }
    // Single operations may be simpler: the race left out, the first process, the first CPU, one page.
    if (size === 1) {
      for (let at = 0; at < best.length && trials > 0; at++) {
        for (const simpler of repertoire.simpler(best[at]!)) {
          const candidate = best.map((other, index) => (index === at ? simpler : other));
          trials--;
          const found = attempt(candidate);
          yield;
          if (found?.invariant === invariant) {
            best = candidate;
            failure = found;
            removed = true;
            break;
          }
        }
      }
    }
    if (size === 1 && !removed) break;
    size = size === 1 ? 1 : Math.floor(size / 2);
  }
  return { operations: best, failure: failure! };
}

/** Stops at the first failure of each kernel. */
export function campaign(options: CampaignOptions): CampaignResult {
  const violations: Counterexample[] = [];
  const { comparison = "end", families = FAMILIES } = options;
  const repertoire = new Repertoire(families);
  const systems = new Map<number, Differential | undefined>();
  const directed = options.directed ? new DirectedDrawing(new Coverage()) : undefined;
  let steps = 0;
  let runs = 0;
  let parted = 0;
  for (let run = 0; run < options.runs; run++) {
    const kernel = run % options.kernels.length;
    const seed = seedOfRun(options.seed, run);
    const fail = (failure: CheckFailure, operations: readonly Operation[]): void => {
      systems.set(kernel, undefined);
      const small = shrink(options.kernels[kernel]!, operations, failure.invariant, options);
      violations.push({
        invariant: failure.invariant,
        detail: (small?.failure ?? failure).detail,
        operations: small?.operations ?? operations,
        kernel,
        seed,
      });
    };
    if (systems.has(kernel) && systems.get(kernel) === undefined) continue;
    const round = Math.floor(run / options.kernels.length);
    const operations =
      directed?.drawRun(repertoire, seed, options.steps, round) ?? repertoire.drawRun(seed, options.steps);
    try {
      let system = systems.get(kernel);
      if (!system)
        systems.set(
          kernel,
          (system = new Differential(options.kernels[kernel]!, comparison, families, { coverage: directed?.coverage })),
        );
      const before = system.subject.steps;
      system.run(operations);
      directed?.learn(operations, system.subject.newsAt - before);
      steps += options.steps;
      if (system.isSpent) {
        parted += system.parted;
        systems.delete(kernel);
      }
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error;
      fail(error, systems.has(kernel) ? operations : []);
    }
    runs++;
    options.onRun?.(runs);
  }
  for (const [kernel, system] of systems) {
    parted += system?.parted ?? 0;
    try {
      system?.subject.fullCheck();
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error;
      violations.push({ invariant: error.invariant, detail: error.detail, operations: [], kernel, seed: options.seed });
    }
  }
  return { runs, steps, violations, parted, coverage: directed?.coverage.count };
}
