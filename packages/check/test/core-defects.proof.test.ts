/**
 * Each defect of the core as a plugin over the corrected kernel: caught by the invariant named for it, and shrunk to a
 * handful of operations.
 */
import { type BootOptions, lateMemory, smallImage, smallMachine } from "@kreplica/kernel";
import { defectOf } from "@kreplica/series-as-posted";
import { expect, test } from "vitest";
import { campaign } from "../src/campaign.js";
import { CORE_FAMILIES } from "../src/core-families.js";

const withSmallNode = (): BootOptions["spec"] => {
  const spec = smallMachine(3);
  return { ...spec, nodes: spec.nodes.map((node) => (node.id === 1 ? { ...node, memoryBytes: 8 * 2 ** 20 } : node)) };
};

test.each<[string, string, Partial<BootOptions>]>([
  ["D1", "B7", { bootCpu: 2 }],
  ["D2", "G9", {}],
  ["D3", "G8", {}],
  ["D4", "C2", {}],
  ["D8", "F6", {}],
  ["D9", "C3", {}],
  ["D10", "I4", lateMemory(2)],
  ["D10-growth", "F2", lateMemory(2)],
  ["D11", "F9", { pti: true }],
  ["D13", "H6", {}],
  ["D14", "A2", { spec: withSmallNode() }],
  ["N2", "B6", {}],
  ["remote-table", "B2", {}],
  ["copied-source", "A2", {}],
])("%s by %s", (id, invariant, more) => {
  const kernel: BootOptions = {
    spec: smallMachine(2),
    policy: "per-node",
    image: smallImage(),
    ...more,
    defects: [defectOf(id)!],
  };
  const { violations } = campaign({ runs: 240, steps: 200, seed: 5, kernels: [kernel], families: CORE_FAMILIES });
  expect(violations.map((each) => each.invariant)).toEqual([invariant]);
  expect(violations[0]!.operations.length).toBeLessThanOrEqual(6);
});
