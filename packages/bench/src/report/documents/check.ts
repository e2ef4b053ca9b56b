/** What `kreplica check --json` prints, and what `--save` writes. */
import { type Finding, type Kind, type Operation, sentenceOf } from "@kreplica/check";
import type { Unseen } from "../check.js";

/** What a check found: every way a policy goes wrong, as short as it could be made. */
export interface CheckDocument {
  readonly schema: "kreplica.check/1";
  readonly policy: string;
  /** Name of the kernel's image, where one was given. */
  readonly kernel?: string;
  /** Runs, or schedules. */
  readonly runs: number;
  /** Operations of all of them. */
  readonly steps: number;
  /** What random runs saw of the tables that CPUs have loaded; absent where none were drawn. */
  readonly coverage?: CheckCoverage;
  readonly violations: readonly (FoundViolation | ReplayedViolation)[];
  /** Defects that were looked for and did not show; absent when there are none. */
  readonly unseen?: readonly Unseen[];
}

/**
 * How much of the ground a search trod: whose tables a CPU has loaded, lazily, for a while only or another node's, with
 * flushes missed or owed.
 */
export interface CheckCoverage {
  /** States that a CPU was in. */
  readonly states: number;
  /** Operations that led from one to another: operation, before, after. */
  readonly transitions: number;
}

/** An operation as plain data; numbers of processes and CPUs count those alive and on line, modulo. */
export interface OperationDocument {
  /** What is done. */
  readonly op: string;
  /** The fields of its kind of operation; an operation may lie inside another. */
  readonly [field: string]: string | number | boolean | OperationDocument;
}

/** A rule that does not hold, and the way there. */
export interface ReplayedViolation {
  /** Id of the rule. */
  readonly invariant: string;
  readonly sentence: string;
  /** The place, and what is there. */
  readonly detail: string;
  /** None when the boot itself breaks the rule. */
  readonly operations: readonly OperationDocument[];
}

/** One that a search found, with its kernel. */
export interface FoundViolation extends ReplayedViolation, Kind {
  /** The defect of the series behind it, or several; absent when none accounts for it. */
  readonly name?: string;
  /** Defects laid over that kernel; absent where none was to be looked for. */
  readonly laid?: readonly string[];
  /** Of the run that showed it. */
  readonly seed: number;
}

/** A counterexample: what `kreplica check --save` writes and `--replay` runs again. */
export interface CounterexampleDocument extends Kind {
  readonly schema: "kreplica.counterexample/1";
  readonly policy: string;
  /** A defect of the series that was laid over the corrected kernel by itself. */
  readonly defect?: string;
  /** Defects of the series as posted that the kernel has, or the one bug of the museum. */
  readonly laid?: readonly string[];
  /** Id of the rule that breaks. */
  readonly invariant: string;
  readonly operations: readonly OperationDocument[];
}

/** What was searched. */
export interface Searched {
  readonly policy: string;
  /** Kinds of kernel, as findings number them. */
  readonly kinds: readonly Kind[];
  /** Defects that were to be looked for. */
  readonly defects: readonly string[];
  /** Name of the image, where one was given. */
  readonly kernel?: string | undefined;
}

/** What came of it. */
export interface SearchOutcome {
  readonly runs: number;
  readonly steps: number;
  readonly findings: readonly Finding<string>[];
  readonly unseen: readonly Unseen[];
  readonly coverage?: CheckCoverage | undefined;
}

/** Fields are what each family of operations lists: numbers, words, switches, operations inside. */
const plain = (operations: readonly Operation[]): readonly OperationDocument[] =>
  operations as readonly OperationDocument[];

/** The defects behind a finding; undefined when there are none. */
export const nameOf = ({ names }: Finding<string>): string | undefined =>
  names.length === 0 ? undefined : names.join(" with ");

/** @param outcome as a survey or an exploration of schedules reports it */
export const checkDocument = (
  { policy, kinds, defects, kernel }: Searched,
  { runs, steps, findings, unseen, coverage }: SearchOutcome,
): CheckDocument => ({
  schema: "kreplica.check/1",
  policy,
  ...(kernel === undefined ? {} : { kernel }),
  runs,
  steps,
  ...(coverage ? { coverage } : {}),
  violations: findings.map((each): FoundViolation => {
    const name = nameOf(each);
    return {
      ...(name === undefined ? {} : { name }),
      invariant: each.invariant,
      sentence: sentenceOf(each.invariant),
      detail: each.detail,
      ...kinds[each.kind]!,
      ...(defects.length > 0 ? { laid: each.laid } : {}),
      operations: plain(each.operations),
      seed: each.seed,
    };
  }),
  ...(unseen.length > 0 ? { unseen } : {}),
});

/** @param failure of the one run; undefined when it no longer fails */
export const replayDocument = (
  policy: string,
  operations: readonly Operation[],
  failure: { readonly invariant: string; readonly detail: string } | undefined,
): CheckDocument => ({
  schema: "kreplica.check/1",
  policy,
  runs: 1,
  steps: operations.length,
  violations: failure
    ? [
        {
          invariant: failure.invariant,
          sentence: sentenceOf(failure.invariant),
          detail: failure.detail,
          operations: plain(operations),
        },
      ]
    : [],
});

/** @param defect that was laid over the corrected series by itself */
export const counterexampleDocument = (
  policy: string,
  kind: Kind,
  { invariant, operations, laid }: Finding<string>,
  defect?: string,
): CounterexampleDocument => ({
  schema: "kreplica.counterexample/1",
  policy,
  ...kind,
  ...(defect === undefined ? (laid.length > 0 ? { laid } : {}) : { defect }),
  invariant,
  operations: plain(operations),
});
