/** Which of all policies does better than the one that was compared, if any does. */
import type { KernelPolicy } from "@kreplica/kernel";
import type { BetterPolicy, PolicyAnswer } from "./compare.js";
import { invariant } from "@kreplica/mm-core";
import type { ComparedPolicy, PolicyComparison } from "./compare-policies.js";

/**
 * Percentage points by which a policy must be ahead, cold and hot together: more than what telling long tests from an
 * eighth is off by.
 */
const AHEAD = 0.25;
/** Percentage points within which policies are alike, and the cheaper one is named. */
const ALIKE = 0.05;

/** Cold and hot weigh the same. */
const gained = ({ machine: { gain } }: ComparedPolicy): number => (gain.cold.percent + gain.hot.percent) / 2;

/**
 * The policy that gains most over the whole machine, half its work cold and half hot, where that is clearly more than
 * the policy compared gains; of several alike the one that takes least memory, then the one with the cheapest first
 * switch. One whose kernel has defects is no answer.
 *
 * @param comparison of all policies, the one compared among them
 */
export function betterPolicy({ policies }: PolicyComparison, than: KernelPolicy): BetterPolicy | undefined {
  const compared = policies.find(({ policy }) => policy.name === than.name);
  const sound = policies.filter(({ policy }) => (policy.defects ?? []).length === 0);
  if (!compared || sound.length === 0) return undefined;
  const most = Math.max(...sound.map(gained));
  if (most < gained(compared) + AHEAD) return undefined;
  const switched = ({ firstSwitch }: ComparedPolicy): number => firstSwitch?.cycles.hot ?? 0;
  const [best] = sound
    .filter((each) => gained(each) > most - ALIKE)
    .sort((a, b) => a.cost.memory.lessFree - b.cost.memory.lessFree || switched(a) - switched(b));
  const { policy, machine, moved, firstSwitch } = best!;
  return {
    name: policy.name,
    coldPercent: machine.gain.cold.percent,
    hotPercent: machine.gain.hot.percent,
    movedColdPercent: moved?.gain.cold.percent,
    firstSwitchStores: firstSwitch?.stores ?? 0,
  };
}

/**
 * The same beside what the policy compared gains on the tests that were asked.
 *
 * @param comparison of all policies, the one compared among them
 */
export function policyAnswer(comparison: PolicyComparison, than: KernelPolicy): PolicyAnswer {
  const compared = comparison.policies.find(({ policy }) => policy.name === than.name);
  invariant(compared !== undefined, `${than.name} is not among the policies compared`);
  const { cold, hot } = compared.machine.gain;
  return {
    tests: comparison.tests,
    compared: { coldPercent: cold.percent, hotPercent: hot.percent },
    better: betterPolicy(comparison, than) ?? null,
  };
}
