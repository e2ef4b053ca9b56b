/** What `kreplica policies --compare --json` prints: schema kreplica.policies/2, a row a policy. */
import type { ColdHot, ComparedPolicy, PolicyComparison, PolicyCost, WholeMachine } from "@kreplica/replay";
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
  movedGain: each.moved ? gainOf(each.moved) : null,
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
