/** What an invariant is, and what a check of all of them says. */

/**
 * Where an invariant is checked. `state`: by checkInvariants, from the bytes of a kernel at rest; `boot`: there too, from what a
 * BootWitness saw; `run`: by `kreplica check`, while operations run; `patching`: by the witness of text-patch; `areas`: by checkAreas of
 * vmalloc and checkModules of modules; `test FILE`: by a test that compares several kernels, its path from the root of the repository.
 */
export type Where = "state" | "boot" | "run" | "patching" | "areas" | `test ${string}`;

/** One rule a replicated kernel keeps. */
export interface Invariant {
  /** As in the project's list: A1 to I6. */
  readonly id: string;
  readonly sentence: string;
  /** From when on, or under which condition. */
  readonly when: string;
  readonly where: readonly Where[];
}

/** An invariant that does not hold, and where. */
export interface Violation {
  readonly id: string;
  readonly sentence: string;
  /** First place found, with node and address, and how many there are. */
  readonly detail: string;
}

/** Outcome of a check. The three lists together name every invariant once. */
export interface InvariantReport {
  readonly checked: readonly string[];
  readonly violated: readonly Violation[];
  /** Not reached by this kernel, or not checkable from a state at rest. */
  readonly notReached: readonly string[];
}

/** Collects the places where one invariant does not hold. */
export interface Verdict {
  /** Called when it does not hold somewhere. */
  fail(detail: string): void;
  /** Called when there is nothing to check here: the invariant counts as not reached. */
  skip(): void;
}
