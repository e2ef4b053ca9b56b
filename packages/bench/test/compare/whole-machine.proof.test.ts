/// <reference types="node" />
/** What is told of a node from another's run, or from an eighth of a run, against runs of its own. */
import { account, type MachineSpec } from "@kreplica/hw-x86";
import { e52690v3, preset } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { type DataOf, defaultDataNode, percentGained, standingOf, toldOf } from "@kreplica/replay";
import { expect, test } from "vitest";
import { measureFile } from "../../src/run-jobs.js";

const eight = preset("xeon-8260-8s")!;
const own = { nearest: (node: number) => node };
const dataOf =
  (spec: MachineSpec): DataOf =>
  ({ cpu }) =>
    defaultDataNode(spec, cpu);
const where = { cpu: 12, masterNode: 0, dataNode: 1 };
// Hot, further PGDs lie as far into each node's memory, in the same sets of L2, which just hold sixteen lines.
test("what is told of a node is what a run there gives, cold to a fifth of a percentage point, hot to a tenth of it", () => {
  const job = { spec: eight, pti: true, levels: 4 as const, seed: 1, alignment: "patch-06" as const };
  const { nodes } = standingOf(eight, where, own);
  const on = (node: number) => ({ cpu: nodes[node]!.cpu, masterNode: 0, dataNode: node });
  const policies = ["single-copy", "per-node"];
  const file = dataFile("traces/hsw-fork1.kt.zst");
  const [single, perNode] = measureFile({ ...job, policies, file, where, elsewhere: [on(2)] });
  const [there, thereToo] = measureFile({ ...job, policies, file, where: on(15) });
  for (const cache of ["cold", "hot"] as const) {
    const told = (of: typeof single) =>
      account(toldOf(of!.elsewhere[0]![cache], eight, [nodes[2]!, nodes[15]!], 0, dataOf(eight)), eight, 15).cycles;
    const run = (of: typeof single) => account(of![cache], eight, 15).cycles;
    const really = percentGained(run(there), run(thereToo));
    expect(Math.abs(percentGained(told(single), told(perNode)) - really)).toBeLessThan(
      cache === "cold" ? 0.2 : 0.1 * Math.abs(really),
    );
    // Not what it was measured for: two hops are farther than one.
    expect(Math.abs(really)).toBeGreaterThan(1);
  }
});

test("of a long loop an eighth is run elsewhere; what it tells is near what the whole gives", () => {
  const job = { spec: e52690v3, pti: true, levels: 4 as const, seed: 1, policies: ["single-copy", "per-node"] };
  const file = dataFile("traces/hsw-open.kt.zst");
  const at = where;
  const image = { cpu: 0, masterNode: 0, dataNode: 0 };
  const [single, perNode] = measureFile({ ...job, file, where: at, elsewhere: [image] });
  const [whole, wholeToo] = measureFile({ ...job, file, where: image });
  const cycles = (of: Float64Array, node: number): number => account(of, e52690v3, node).cycles;
  for (const cache of ["cold", "hot"] as const) {
    expect(single!.elsewhere[0]!.share).toBe(1 / 8);
    for (const [part, all] of [
      [single, whole],
      [perNode, wholeToo],
    ] as const)
      expect(cycles(part!.elsewhere[0]![cache], 0) / cycles(all![cache], 0)).toBeCloseTo(1, 1);
    const told = percentGained(cycles(single!.sampled![cache], 1), cycles(perNode!.sampled![cache], 1));
    const really = percentGained(cycles(single![cache], 1), cycles(perNode![cache], 1));
    expect(Math.abs(told - really)).toBeLessThan(0.5);
  }
});
