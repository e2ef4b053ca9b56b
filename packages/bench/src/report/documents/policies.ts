/** What `kreplica policies --json` prints; with `--measure`, what each costs. */
import type { Kernel } from "@kreplica/kernel";
import type { PolicyCost } from "@kreplica/replay";

/** The replication policies; measured ones say on which kernel. */
export type PoliciesDocument = PolicyListDocument | MeasuredPoliciesDocument;

/** The replication policies, by name. */
export interface PolicyListDocument {
  readonly schema: "kreplica.policies/1";
  readonly policies: readonly ListedPolicy[];
  readonly parameters: readonly ListedParameter[];
}

/** What may follow a policy's name and a colon. */
export interface ListedParameter {
  /** Of the policy; one that is in no list of policies cannot be without its parameter. */
  readonly name: string;
  /** As in `name:form`. */
  readonly form: string;
  readonly about: string;
}

/** A policy in one line. */
export interface ListedPolicy {
  /** What `--policy` takes. */
  readonly name: string;
  readonly summary: string;
}

/** What each policy costs beside a single copy, counted by doing it. */
export interface MeasuredPoliciesDocument {
  readonly schema: "kreplica.policies/1";
  /** Name of the machine. */
  readonly machine: string;
  /** Of page tables. */
  readonly levels: 4 | 5;
  /** Kernel page-table isolation. */
  readonly pti: boolean;
  readonly policies: readonly MeasuredPolicy[];
}

/** A policy and its cost. */
export interface MeasuredPolicy extends ListedPolicy {
  readonly cost: PolicyCost;
}

/** @param policies in the order they are listed */
export const policyListDocument = (
  policies: readonly ListedPolicy[],
  parameters: readonly ListedParameter[],
): PoliciesDocument => ({
  schema: "kreplica.policies/1",
  policies,
  parameters,
});

/** @param costs of the policies, in their order */
export const measuredPoliciesDocument = (
  { machine, layout: { levels, pti } }: Kernel,
  policies: readonly ListedPolicy[],
  costs: readonly PolicyCost[],
): PoliciesDocument => ({
  schema: "kreplica.policies/1",
  machine: machine.name,
  levels,
  pti,
  policies: policies.map((each, i) => ({ ...each, cost: costs[i]! })),
});
