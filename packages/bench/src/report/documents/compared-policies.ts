/** What `kreplica policies --compare --json` prints: schema kreplica.policies/2, a row a policy. */
import type { ColdHot, ComparedPolicy, DemandCopy, PolicyComparison, PolicyCost, WholeMachine } from "@kreplica/replay";
import { rounded } from "./compare.js";
import type { ListedPolicy } from "./policies.js";

/** All policies on one machine: what each gains and what it costs beside a single copy. */
export interface ComparedPoliciesDocument {
  readonly schema: "kreplica.policies/2";
  /** Name of the machine. */
  readonly machine: string;
  /** Of page tables. */
  readonly levels: 4 | 5;
  /** Kernel page-table isolation. */
  readonly pti: boolean;
  /** Names of the tests that the gains are means of. */
  readonly tests: readonly string[];
  /** Part of the longest recording that was run, everywhere; 1 where all were run whole. */
  readonly share: number;
  readonly policies: readonly ComparedPolicyRow[];
}

/** A policy with its gain and its cost. */
export interface ComparedPolicyRow extends ListedPolicy {
  /** An earlier row that does the same on this machine and was run for it; null where it was run itself. */
  readonly sameAs: string | null;
  readonly gain: PolicyGain;
  /** As `policies --measure` counts it. */
  readonly cost: PolicyCost;
  /** Replication's own work in a fork; null where no recording forks. */
  readonly forkCycles: PolicyCycles | null;
  /** Of a process that comes to a node; null where all nodes use one copy. */
  readonly firstSwitch: FirstSwitchFigures | null;
  /** Of the node of the CPU looked at; null where copies do not come on demand. */
  readonly demandCopy: DemandCopyFigures | null;
  /** Gain for processes that have moved and go on running the text of the node that made them; null where none do. */
  readonly movedGain: PolicyGain | null;
}

/** Mean over all CPUs and tests, percent of a single copy's cycles; least and most over all uncertain costs. */
export interface PolicyGain {
  readonly coldPercent: number;
  readonly coldLow: number;
  readonly coldHigh: number;
  readonly hotPercent: number;
  readonly hotLow: number;
  readonly hotHigh: number;
}

/** Cycles beyond a single copy's. */
export interface PolicyCycles {
  readonly cold: number;
  readonly hot: number;
}

/**
 * What the first switch of a process to the CPU looked at costs beyond the same with a single copy, the process made on
 * the node whose copy is farthest.
 */
export interface FirstSwitchFigures {
  /** Entries of 8 bytes. */
  readonly stores: number;
  readonly pgdsMade: number;
  /** Stores, walks and displaced lines. */
  readonly cycles: PolicyCycles;
  /** Name of the test that ran behind it. */
  readonly test: string;
  /** Whether what the recorded kernel does beside the tables where it makes a PGD is in it. */
  readonly repeated: boolean;
}

/**
 * A copy of all text that comes while the kernel runs, on the node of the CPU looked at. All of it is executed; none is
 * in the gains.
 */
export interface DemandCopyFigures {
  /** Of memory, while it is there. */
  readonly bytes: number;
  /** Cycles that the node has to have waited for it. */
  readonly price: number;
  /** It is read, stored, and the node's leaves lead to it. */
  readonly comes: CopyStepFigures;
  /** The leaves lead to the master's text again. */
  readonly goes: CopyStepFigures;
  /** Cycles that a run of the test takes less with it than with the master's text; negative: more. */
  readonly saved: PolicyCycles;
  /** Name of the test that ran behind it. */
  readonly test: string;
}

/** A step of it, what it displaces for a run of the test behind it included. */
export interface CopyStepFigures {
  /** Entries of 8 bytes. */
  readonly stores: number;
  /** Tables of 4 KiB that were cleared, to divide leaves. */
  readonly tablesCleared: number;
  readonly cycles: PolicyCycles;
}

/** A plain value, ready for JSON. */
export const comparedPoliciesDocument = ({
  job: { spec, levels, pti },
  policies,
  tests,
  share,
}: PolicyComparison): ComparedPoliciesDocument => ({
  schema: "kreplica.policies/2",
  machine: spec.name,
  levels,
  pti,
  tests,
  share,
  policies: policies.map(rowOf),
});

const rowOf = (each: ComparedPolicy): ComparedPolicyRow => ({
  name: each.policy.name,
  summary: each.policy.summary,
  sameAs: each.sameAs ?? null,
  gain: gainOf(each.machine),
  cost: each.cost,
  forkCycles: each.forkCycles ? cyclesOf(each.forkCycles) : null,
  firstSwitch: each.firstSwitch ? { ...each.firstSwitch, cycles: cyclesOf(each.firstSwitch.cycles) } : null,
  demandCopy: each.demandCopy ? copyOf(each.demandCopy) : null,
  movedGain: each.moved ? gainOf(each.moved) : null,
});

const copyOf = ({ bytes, price, comes, goes, saved, test }: DemandCopy): DemandCopyFigures => ({
  bytes,
  price: rounded(price),
  comes: { ...comes, cycles: cyclesOf(comes.cycles) },
  goes: { ...goes, cycles: cyclesOf(goes.cycles) },
  saved: cyclesOf(saved),
  test,
});

const cyclesOf = ({ cold, hot }: ColdHot): PolicyCycles => ({ cold: rounded(cold), hot: rounded(hot) });

const gainOf = ({ gain: { cold, hot } }: WholeMachine): PolicyGain => ({
  coldPercent: rounded(cold.percent),
  coldLow: rounded(cold.low),
  coldHigh: rounded(cold.high),
  hotPercent: rounded(hot.percent),
  hotLow: rounded(hot.low),
  hotHigh: rounded(hot.high),
});
