/** What an invariant is: one row with its sentence and its check; and what a check finds. */

/**
 * Where an invariant is looked at. `state`: by its own check, from the bytes of a kernel at rest; `boot`: by its own
 * check, from what a BootWitness saw; `areas`: by its own check, from the areas of vmalloc or the modules that are
 * loaded; `run`: by `kreplica check`, while operations run; `patching`: by the witness of text-patch; `test FILE`: by a
 * test that compares several kernels, its path from the root of the repository.
 */
export type Where = "state" | "boot" | "areas" | "run" | "patching" | `test ${string}`;

/**
 * One rule that a kernel with copies keeps; rows of any kind are `Invariant<never>`.
 *
 * @typeParam Subject what its check looks at
 */
export interface Invariant<Subject> {
  /** A letter, which is its group's, and its number there. */
  readonly id: string;
  readonly sentence: string;
  /** From when on, or under which condition. */
  readonly when: string;
  /** At least one place; {@link check} is there exactly for `state`, `boot` and `areas`. */
  readonly where: readonly Where[];
  /** Says of a subject where the sentence does not hold, and nothing where it does. */
  readonly check?: (subject: Subject, verdict: Verdict) => void;
}

/** An invariant that does not hold somewhere. */
export interface Finding {
  readonly id: string;
  readonly sentence: string;
  /** The place, with node and address, and what is there. */
  readonly detail: string;
}

/** What a check says of one invariant. */
export interface Verdict {
  /** Called when it does not hold somewhere. */
  fail(detail: string): void;
  /** Called when there is nothing to look at: the invariant counts as not reached. */
  skip(): void;
}

/** Outcome of a check. `checked` and `notReached` together name every invariant once. */
export interface InvariantReport {
  readonly checked: readonly string[];
  /** One an invariant: its first place, and how many there are. */
  readonly violated: readonly Finding[];
  /** Not reached by this kernel, or not checkable from a state at rest. */
  readonly notReached: readonly string[];
}
