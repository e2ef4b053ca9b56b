/** Bugs of the museum on checked kernels: which kernel, which operations, and what a path comes to. */
import { type Kernel, type KernelPolicy, perNode, type PolicyChoice } from "@kreplica/kernel";
import { singleCopy } from "@kreplica/mm-core";
import type { Bug } from "@kreplica/museum";
import { failureOf } from "./campaign.js";
import type { CheckFailure } from "./check-failure.js";
import { CORE_FAMILIES } from "./core-families.js";
import { FAMILIES } from "./families.js";
import type { OperationFamily } from "./family.js";
import { kernelOf, type Kind } from "./kinds.js";

/** The kernel a bug's path was found on. */
export const kindOfBug = ({ kernel: { nodes = 2, levels = 4, pti = false, configuration } }: Bug): Kind => ({
  nodes,
  levels,
  pti,
  ...(configuration ? { configuration } : {}),
});

/** With a copy a node; a bug that copies heal shows with a single one. */
export const policyOfBug = ({ copies }: Bug): KernelPolicy => (copies.with === undefined ? singleCopy : perNode);

/** Names of operations of a path, those inside others too. */
function operationsOf(steps: readonly object[]): Set<string> {
  const names = new Set<string>();
  for (const step of steps)
    for (const [field, value] of Object.entries(step)) {
      if (field === "op") names.add(value as string);
      else if (typeof value === "object" && value !== null) for (const each of operationsOf([value])) names.add(each);
    }
  return names;
}

/** Families whose operations a bug's path has; those of the core where the boot itself breaks the rule. */
export function familiesOfBug({ path }: Bug): readonly OperationFamily[] {
  const names = operationsOf(path);
  const met = FAMILIES.filter(({ kinds }) => Object.keys(kinds).some((op) => names.has(op)));
  return met.length === 0 ? CORE_FAMILIES : met.map((family) => ({ ...family, rare: false }));
}

/** The bug's kernel, with the bug or without. */
export const kernelOfBug = (bug: Bug, laid: boolean, policy: PolicyChoice = policyOfBug(bug)): Kernel => {
  const sound = kernelOf(policy, kindOfBug(bug));
  return laid ? sound.with({ defects: [bug] }) : sound;
};

/** What a bug's path comes to; undefined where nothing breaks. */
export const pathOfBug = (bug: Bug, laid: boolean, policy: PolicyChoice = policyOfBug(bug)): CheckFailure | undefined =>
  failureOf(kernelOfBug(bug, laid, policy), bug.path, bug.comparedOnly ? "end" : "off", familiesOfBug(bug));
