/** The corrected kernel survives random interleavings; each defect of the series is found, by the rule named for it, and shrunk. */
import { describe, expect, test } from "vitest";
import type { KernelDefect } from "@kreplica/mm-core";
import { type BootDefect, PER_NODE, replicationBy, withDefects } from "@kreplica/numa-replication";
import type { BootOptions } from "../../src/boot.js";
import { campaign } from "../../src/check/campaign.js";
import { CORE_FAMILIES } from "../../src/check/core-families.js";
import { smallImage, smallMachine } from "../../src/check/small-kernel.js";

const kernel = (nodes: number, more: Partial<BootOptions> & { memoryless?: number } = {}): BootOptions =>
  ({ spec: smallMachine(nodes, more.memoryless ?? 0), policy: "per-node", image: smallImage(), ...more });

describe("per-node survives", () => {
  test.each([1, 2, 3, 8])("%i nodes, 4 and 5 levels, KPTI on and off", (nodes) => {
    const kernels = ([4, 5] as const).flatMap((levels) => [false, true].map((pti) => kernel(nodes, { levels, pti, memoryless: nodes === 2 ? 1 : 0 })));
    const result = campaign({ families: CORE_FAMILIES, runs: 100, steps: 200, seed: nodes, kernels });
    expect(result.violations).toEqual([]);
    expect(result.steps).toBe(20_000);
  });
});

describe("each defect is caught by its invariant", () => {
  const table: readonly [string, string, BootOptions][] = [
    ["D1", "B7", kernel(2, { bootCpu: 2, policy: replicationBy(withDefects(PER_NODE, "D1" as BootDefect)) })],
    ["D2", "G9", kernel(2, { defects: new Set<KernelDefect>(["D2"]) })],
    ["D3", "G8", kernel(2, { defects: new Set<KernelDefect>(["D3"]) })],
    ["D4", "C2", kernel(2, { policy: replicationBy(withDefects(PER_NODE, "D4")) })],
    ["D8", "F6", kernel(2, { defects: new Set<KernelDefect>(["D8"]) })],
    ["D10", "I4", kernel(2, { memoryless: 1, policy: replicationBy(withDefects(PER_NODE, "D10")) })],
    ["D11", "F9", kernel(2, { pti: true, defects: new Set<KernelDefect>(["D11"]) })],
    ["D14", "A2", { ...kernel(3, { policy: replicationBy(withDefects(PER_NODE, "D14")) }), spec: withSmallNode() }],
    ["N2", "B6", kernel(2, { defects: new Set<KernelDefect>(["N2"]) })],
    ["remote-table", "B2", kernel(2, { defects: new Set<KernelDefect>(["remote-table"]) })],
  ];
  test.each(table)("%s by %s", (_defect, invariant, options) => {
    const { violations } = campaign({ families: CORE_FAMILIES, runs: 60, steps: 200, seed: 5, kernels: [options] });
    expect(violations.map((each) => each.invariant)).toEqual([invariant]);
    expect(violations[0]!.operations.length).toBeLessThanOrEqual(6);
  });
});

function withSmallNode() {
  const spec = smallMachine(3);
  return { ...spec, nodes: spec.nodes.map((node) => (node.id === 1 ? { ...node, memoryBytes: 8 * 2 ** 20 } : node)) };
}
