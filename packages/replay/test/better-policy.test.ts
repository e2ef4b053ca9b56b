/** Which policy is called better: by how much it must be ahead, and which of several alike. */
import { type KernelPolicy, POLICIES } from "@kreplica/kernel";
import { expect, test } from "vitest";
import { betterPolicy, policyAnswer } from "../src/measure/better-policy.js";
import type { ComparedPolicy, PolicyComparison } from "../src/measure/compare-policies.js";

const gain = (percent: number) => ({ percent, low: percent, high: percent });
const row = (
  name: string,
  [cold, hot]: readonly [number, number],
  { bytes = 100, switched = 0, moved = undefined as number | undefined } = {},
): ComparedPolicy =>
  ({
    policy: POLICIES[name] as KernelPolicy,
    cost: { memory: { lessFree: bytes } },
    machine: { gain: { cold: gain(cold), hot: gain(hot) } },
    moved: moved === undefined ? undefined : { gain: { cold: gain(moved), hot: gain(0) } },
    firstSwitch: switched === 0 ? undefined : { stores: 482, cycles: { cold: switched, hot: switched } },
  }) as unknown as ComparedPolicy;
const better = (...policies: ComparedPolicy[]) =>
  betterPolicy({ policies } as unknown as PolicyComparison, POLICIES["per-node"]!);
const perNode = row("per-node", [4, -1]);

test("a policy is better from a quarter of a percentage point on, cold and hot together", () => {
  expect(better(perNode, row("lazy-pgd", [4.3, -0.8]))?.name).toBe("lazy-pgd");
  expect(better(perNode, row("lazy-pgd", [4.2, -0.8]))).toBeUndefined();
  // What it gains hot it may lose cold, a single copy too.
  expect(better(perNode, row("single-copy", [0, 0]))).toBeUndefined();
  expect(better(row("per-node", [1, -2]), row("single-copy", [0, 0]))?.name).toBe("single-copy");
});

test("of those alike the one that takes least memory, then the one with the cheapest first switch", () => {
  const lazy = row("lazy-pgd", [5, 0], { switched: 9000 });
  expect(better(perNode, lazy, row("home-node", [5, 0.04], { moved: -5 }))?.name).toBe("home-node");
  expect(better(perNode, lazy, row("home-node", [5, 0.04], { bytes: 101 }))?.name).toBe("lazy-pgd");
  expect(better(perNode, lazy, row("home-node", [5, 0.2], { bytes: 101 }))?.name).toBe("home-node");
});

test("its price is told with it: what moved processes lose, or what a first switch stores", () => {
  expect(better(perNode, row("home-node", [5, 0], { moved: -5 }))).toMatchObject({
    coldPercent: 5,
    hotPercent: 0,
    movedColdPercent: -5,
    firstSwitchStores: 0,
  });
  expect(better(perNode, row("lazy-pgd", [5, 0], { switched: 1 }))).toMatchObject({
    movedColdPercent: undefined,
    firstSwitchStores: 482,
  });
});

test("a kernel with defects is no answer, whatever it gains", () => {
  expect(better(perNode, row("rfc-v1", [50, 50]))).toBeUndefined();
});

test("an answer has the tests that were asked, and what the policy compared gains on them", () => {
  const comparison = (...policies: ComparedPolicy[]) =>
    ({ policies, tests: ["fork-1", "kill"] }) as unknown as PolicyComparison;
  const home = row("home-node", [5, 0], { moved: -5 });
  expect(policyAnswer(comparison(perNode, home), POLICIES["per-node"]!)).toMatchObject({
    tests: ["fork-1", "kill"],
    compared: { coldPercent: 4, hotPercent: -1 },
    better: { name: "home-node" },
  });
  expect(policyAnswer(comparison(perNode), POLICIES["per-node"]!).better).toBeNull();
  expect(() => policyAnswer(comparison(home), POLICIES["per-node"]!)).toThrow("per-node");
});
