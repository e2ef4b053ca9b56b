/**
 * What a contract suite throws: which promise of a port does not hold, how that was seen, and the shortest way there.
 */
import * as fc from "fast-check";

/** A promise of a port that an implementation does not keep. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
  /** @param promise the sentence of the suite's docstring that does not hold */
  constructor(
    readonly promise: string,
    readonly detail: string,
    options?: ErrorOptions,
  ) {
    super(`${promise}: ${detail}`, options);
  }
}

/** @throws BrokenPromise when the condition is false */
export function promised(holds: boolean, promise: string, detail: string): asserts holds {
  if (!holds) throw new BrokenPromise(promise, detail);
}

/** How long a suite looks. */
export interface SuiteEffort {
  /** Lists of random steps that are tried; each suite has its own default. */
  readonly runs?: number;
  /** Whether the shortest list that fails is looked for; true when absent. */
  readonly shrink?: boolean;
}

/**
 * Runs a suite's property, always with the same inputs.
 * @throws BrokenPromise with the shortest counterexample; whatever else the subject threw, as the cause of one
 */
export function keepsPromises<T>(property: fc.IProperty<T>, { runs = 100, shrink = true }: SuiteEffort): void {
  const details = fc.check(property, { numRuns: runs, seed: 7, endOnFailure: !shrink });
  if (!details.failed) return;
  const cause = details.errorInstance;
  const inputs = fc.stringify(details.counterexample);
  if (cause instanceof BrokenPromise)
    throw new BrokenPromise(cause.promise, `${cause.detail}, after ${inputs}`, { cause });
  throw new BrokenPromise("nothing is thrown but what the port names", `${String(cause)}, after ${inputs}`, { cause });
}
