/** A rule that was broken while a kernel was checked. */
import { INVARIANTS, type Violation } from "@kreplica/numa-replication";

/** Thrown by the harness and by every operation family; caught by the campaign, which shrinks the way to it. */
export class CheckFailure extends Error {
  override readonly name = "CheckFailure";
  /** @param invariant id of the rule, as in invariants.md @param detail what was seen, with numbers @param before rules that the boot had left broken */
  constructor(readonly invariant: string, readonly detail: string, readonly before: readonly Violation[] = []) { super(`${invariant}: ${detail}`); }
}

/** The rule behind an id; empty when there is none. */
export const sentenceOf = (id: string): string => INVARIANTS.find((each) => each.id === id)?.sentence ?? "";
