/** Invariants of group P that the witness of text patching looks after, on every operation. */
import { type Finding, findingOf, type Invariant } from "@kreplica/invariants/api";

const ROWS = [
  {
    id: "P1",
    when: "always",
    where: ["patching"],
    sentence: "after text_poke*(va,len) returns, all replicas contain the new bytes",
  },
  {
    id: "P2",
    when: "runtime",
    where: ["patching"],
    sentence: "at every sync point (IPI completion) of the INT3 protocol all replicas are byte-identical",
  },
  {
    id: "P3",
    when: "runtime",
    where: ["patching"],
    sentence:
      "at no instant does any replica contain a mix other than {old}, {INT3+old tail}, {INT3+new tail}, " +
      "{new}; the phase skew between replicas is ≤ 1",
  },
  {
    id: "P5",
    when: "runtime",
    where: ["patching"],
    sentence: "a poke crossing a page boundary uses two frames of the same node",
  },
  {
    id: "P6",
    when: "runtime",
    where: ["patching"],
    sentence: "poking alias PTEs are absent before and after; no TLB entry for the alias survives on any CPU",
  },
  {
    id: "P7",
    when: "runtime",
    where: ["patching"],
    sentence: "number of distinct frames written = #R if va replicated, 1 otherwise",
  },
  {
    id: "P11",
    when: "runtime",
    where: ["patching"],
    sentence: "verification reads every replica, not only the local one",
  },
  {
    id: "P12",
    when: "runtime",
    where: ["patching"],
    sentence:
      "kgdb/ftrace/jump-label/static-call/livepatch toggles n times ⇒ all replicas equal the single-copy " +
      "kernel's text after the same sequence (differential test)",
  },
] as const satisfies readonly Invariant<never>[];

/** What the witness looks after, for the list. */
export const PATCH_INVARIANTS: readonly Invariant<never>[] = ROWS;

/** Their ids. */
export type WitnessedId = (typeof ROWS)[number]["id"];

/** What the witness found. */
export const witnessed = (id: WitnessedId, detail: string): Finding =>
  findingOf(
    ROWS.find((row) => row.id === id)!,
    detail,
  );
