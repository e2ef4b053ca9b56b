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
import { REPORT_SCENES } from "./report-scenes.js";

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

/** Families whose scenes hold operations of others. */
const BESIDE: Readonly<Record<string, readonly string[]>> = {
  areas: ["refusal"],
  modules: ["refusal"],
  "borrowed-tables": ["processes", "user-pages"],
  racing: ["processes", "user-pages"],
};
/** An operation of the path is drawn as many times as often. */
const OFTEN = 4;

/**
 * Families whose operations a bug's path has, those operations often; with scenes that reports suggest, as far as the
 * path has what they are about. Those of the core where the boot itself breaks the rule.
 */
export function familiesOfBug({ path }: Bug): readonly OperationFamily[] {
  const names = operationsOf(path);
  const met = FAMILIES.filter(({ kinds }) => Object.keys(kinds).some((op) => names.has(op)));
  if (met.length === 0) return CORE_FAMILIES;
  const wanted = new Set(met.flatMap(({ name }) => [name, ...(BESIDE[name] ?? [])]));
  const suggested = REPORT_SCENES.filter(({ needs }) => needs.every((op) => names.has(op))).map(({ scene }) => scene);
  return FAMILIES.filter(({ name }) => wanted.has(name)).map((family, nth) => ({
    ...family,
    rare: false,
    kinds: Object.fromEntries(
      Object.entries(family.kinds).map(([op, kind]) => [
        op,
        names.has(op) ? { ...kind, weight: OFTEN * kind.weight } : kind,
      ]),
    ),
    scenes: [...(family.scenes ?? []), ...(nth === 0 ? [...suggested, ...suggested] : [])],
  }));
}

/** The bug's kernel, with the bug or without. */
export const kernelOfBug = (bug: Bug, laid: boolean, policy: PolicyChoice = policyOfBug(bug)): Kernel => {
  const sound = kernelOf(policy, kindOfBug(bug));
  return laid ? sound.with({ defects: [bug] }) : sound;
};

/** What a bug's path comes to; undefined where nothing breaks. */
export const pathOfBug = (bug: Bug, laid: boolean, policy: PolicyChoice = policyOfBug(bug)): CheckFailure | undefined =>
  failureOf(kernelOfBug(bug, laid, policy), bug.path, bug.comparedOnly ? "end" : "off", familiesOfBug(bug));
