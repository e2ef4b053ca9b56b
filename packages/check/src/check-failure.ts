/** An invariant that was found broken while a kernel was checked. */
import { type Finding, findingOf, type Invariant } from "@kreplica/invariants";
import { broken, invariantOf } from "@kreplica/kernel";

/** Thrown by the harness and by every operation family; caught by the campaign, which shrinks the way to it. */
export class CheckFailure extends Error {
  override readonly name = "CheckFailure";
  readonly finding: Finding;

  /**
   * @param invariant its id in the list, or a row of a family's own
   * @param detail what was seen, with numbers
   * @param before what the boot had left broken
   * @throws RangeError for an id that the list does not have
   */
  constructor(
    invariant: string | Invariant<never>,
    detail: string,
    readonly before: readonly Finding[] = [],
  ) {
    const finding = typeof invariant === "string" ? broken(invariant, detail) : findingOf(invariant, detail);
    super(`${finding.id}: ${detail}`);
    this.finding = finding;
  }

  /** Id of the invariant. */
  get invariant(): string {
    return this.finding.id;
  }
  get detail(): string {
    return this.finding.detail;
  }
}

/** Does some work. @returns what it was found to break; undefined where it came to its end */
export function failureIn(work: () => void): CheckFailure | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof CheckFailure) return error;
    throw error;
  }
}

/** The sentence behind an id; empty when there is none. */
export const sentenceOf = (id: string): string => invariantOf(id)?.sentence ?? "";
