/// <reference types="node" />
/** All policies side by side: gains that a comparison of each gives alone, first switches executed, moved processes. */
import { POLICIES } from "@kreplica/kernel";
import { preset, tiny2Node } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { compare, type ComparedPolicy, comparePolicies, type KernelJob, type PolicyComparison } from "@kreplica/replay";
import { beforeAll, describe, expect, test } from "vitest";
import { shippedReplay } from "../../src/inputs/replay-kernel.js";
import { isLongRun } from "../../src/inputs/trace-file.js";
import { runJobs } from "../../src/run-jobs.js";
import { policyComparisonText } from "../../src/report/policy-comparison.js";
import { comparedPoliciesDocument } from "../../src/report/documents/compared-policies.js";
import { screenFor } from "../../src/report/terminal.js";

const job: KernelJob = {
  spec: tiny2Node,
  where: { cpu: 2, masterNode: 0, dataNode: 1 },
  pti: true,
  levels: 4,
  seed: 1,
};
const files = ["hsw-fork1", "hsw-kill"].map((name) => dataFile(`traces/${name}.kt.zst`));
const kernel = shippedReplay();
const nothing = (): void => undefined;
const silent = { start: nothing, step: nothing, stop: nothing };
const run = (jobs: Parameters<typeof runJobs>[0]) => runJobs(jobs, silent);
/** As many stores as copy the kernel's 239 slots of both halves, and the two user slots of the recorded process. */
const FIRST_SWITCH = 482;

let compared: PolicyComparison;
const of = (name: string): ComparedPolicy => compared.policies.find(({ policy }) => policy.name === name)!;
const middle = (name: string, cache: "cold" | "hot"): number => of(name).machine.gain[cache].percent;
beforeAll(async () => {
  compared = await comparePolicies(job, kernel, { policies: Object.values(POLICIES), files, isLong: isLongRun }, run);
}, 300_000);

describe("two tests on two nodes", () => {
  test("a gain is what a comparison of that policy alone says of the whole machine, range included", async () => {
    for (const policy of ["per-node", "lazy-pgd"]) {
      const { machine } = await compare(job, kernel, { policy, files, isLong: isLongRun, wholeMachine: true }, run);
      for (const cache of ["cold", "hot"] as const) {
        expect(of(policy).machine.gain[cache].percent).toBeCloseTo(machine!.gain[cache].percent, 9);
        expect(of(policy).machine.gain[cache].low).toBeCloseTo(machine!.gain[cache].low, 9);
        expect(of(policy).machine.gain[cache].high).toBeCloseTo(machine!.gain[cache].high, 9);
      }
    }
  }, 300_000);

  test("a single copy gains and costs nothing, and is what a copy on one in two nodes of two is", () => {
    for (const name of ["single-copy", "every-nth"]) {
      expect([middle(name, "cold"), middle(name, "hot")]).toEqual([0, 0]);
      expect(of(name).firstSwitch).toBeUndefined();
    }
    expect(of("every-nth").sameAs).toBe("single-copy");
    expect(of("per-socket").sameAs).toBe("per-node");
    expect(of("per-socket").machine.gain).toEqual(of("per-node").machine.gain);
    for (const name of ["single-copy", "per-node", "text-only", "lazy-pgd", "home-node", "rfc-v1"])
      expect(of(name).sameAs).toBeUndefined();
  });

  test("a first switch under lazy-pgd stores a PGD's slots, and costs cycles cold and hot; no other policy makes one", () => {
    const lazy = of("lazy-pgd").firstSwitch!;
    expect(lazy).toMatchObject({ stores: FIRST_SWITCH, pgdsMade: 1, test: "fork-1", repeated: true });
    // Two pages to clear and fill, none of it in L1 or L2: no fewer than the lines at a cycle each, cold or hot.
    for (const cache of ["cold", "hot"] as const) expect(lazy.cycles[cache]).toBeGreaterThan(128);
    for (const name of ["rfc-v1", "per-node", "text-only", "home-node"]) {
      expect(of(name).firstSwitch).toMatchObject({ stores: 0, pgdsMade: 0 });
      expect(Math.abs(of(name).firstSwitch!.cycles.hot)).toBeLessThan(lazy.cycles.hot / 4);
    }
  });

  test("what makes a PGD at the first switch takes nothing for a fork, what makes it at once does", () => {
    expect(of("lazy-pgd").forkCycles).toEqual({ cold: 0, hot: 0 });
    expect(of("per-node").forkCycles!.cold).toBeGreaterThanOrEqual(of("per-node").forkCycles!.hot);
    expect(of("per-node").forkCycles!.hot).toBeGreaterThan(100);
  });

  test("under home-node a process that has moved loses what one that stays gains; no other policy has such", () => {
    for (const { policy, moved } of compared.policies) expect(moved === undefined).toBe(policy.name !== "home-node");
    const { machine, moved } = of("home-node");
    expect(machine.gain.cold.percent).toBeGreaterThan(2);
    // Beside the image's node they fetch from afar what a single copy has near; on the other node as a single copy
    // does.
    const [image, other] = moved!.nodes;
    expect(image!.mean.cold).toBeLessThan(-2);
    expect(Math.abs(other!.mean.cold)).toBeLessThan(1);
  });

  test("the table has every policy in one line, no line is too wide, and the document all of it", () => {
    for (const columns of [60, 100]) {
      const lines = policyComparisonText(compared, screenFor({ columns }, { COLUMNS: String(columns) })).split("\n");
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
      for (const name of Object.keys(POLICIES)) expect(lines.some((line) => line.startsWith(`  ${name}`))).toBe(true);
    }
    const row = comparedPoliciesDocument(compared).policies.find(({ name }) => name === "lazy-pgd")!;
    expect(row).toMatchObject({ sameAs: null, movedGain: null, firstSwitch: { stores: FIRST_SWITCH } });
    expect(row.gain.coldPercent).toBeCloseTo(middle("lazy-pgd", "cold"), 2);
  });
});

test("where a policy is run on two of 16 nodes for all, its figures are those of a comparison of it alone", async () => {
  const spec = preset("xeon-8260-8s")!;
  const where = { cpu: 12, masterNode: 0, dataNode: 1 };
  const given = { ...job, spec, where };
  const kill = files.slice(1);
  const all = await comparePolicies(
    given,
    kernel,
    { policies: [POLICIES["per-socket"]!], files: kill, isLong: isLongRun },
    run,
  );
  const alone = await compare(
    given,
    kernel,
    { policy: "per-socket", files: kill, isLong: isLongRun, wholeMachine: true },
    run,
  );
  expect(all.policies[0]!.machine.gain.cold.percent).toBeCloseTo(alone.machine!.gain.cold.percent, 9);
  expect(all.policies[0]!.machine.nodes.map(({ mean }) => mean.cold)).toEqual(
    alone.machine!.nodes.map(({ mean }) => mean.cold),
  );
}, 300_000);
