/// <reference types="node" />
/** Every node of a machine: who is alike, what is told of whom, the mean over all CPUs, and the five lines on top. */
import { CounterLayout, Kind, type MachineSpec, Source } from "@kreplica/hw-x86";
import { e52690v3, preset } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import {
  type BetterPolicy,
  compare,
  type CompareResult,
  type DataOf,
  defaultDataNode,
  nodeClasses,
  standingOf,
  toldOf,
} from "@kreplica/replay";
import { beforeAll, describe, expect, test } from "vitest";
import { shippedReplay } from "../../src/inputs/replay-kernel.js";
import { isLongRun } from "../../src/inputs/trace-file.js";
import { verdictSentences, verdictText } from "../../src/report/compare-verdict.js";
import { compareText } from "../../src/report/compare.js";
import { machineCompareDocument } from "../../src/report/documents/compare-nodes.js";
import { screenFor } from "../../src/report/terminal.js";
import { measureFile } from "../../src/run-jobs.js";

const eight = preset("xeon-8260-8s")!;
const own = { nearest: (node: number) => node };
const dataOf =
  (spec: MachineSpec): DataOf =>
  ({ cpu }) =>
    defaultDataNode(spec, cpu);
const where = { cpu: 12, masterNode: 0, dataNode: 1 };
const screen = screenFor({}, { COLUMNS: "100" });

describe("nodes that are alike", () => {
  test("share a run by relation to image, copy and data; the node looked at stands for its own", () => {
    const { own: here, nodes } = standingOf(eight, where, own);
    const classes = nodeClasses(eight, 0, here, nodes, dataOf(eight));
    expect(classes.map((each) => [each.measured.node, each.nodes.map(({ node }) => node)])).toEqual([
      [0, [0]],
      [1, [1]],
      [2, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]],
    ]);
    // A node whose copy is another's is not like one with its own.
    const shared = standingOf(eight, where, { nearest: (node) => node - (node % 2) });
    const further = nodeClasses(eight, 0, shared.own, shared.nodes, dataOf(eight));
    expect(further.map((each) => each.nodes.map(({ node }) => node))).toEqual([
      [0],
      [1],
      [2, 4, 6, 8, 10, 12, 14],
      [3, 5, 7, 9, 11, 13, 15],
    ]);
  });

  test("counts are told of another node by its own memory, its copy's and its socket's; the image's stays", () => {
    const { nodes } = standingOf(eight, where, own);
    const layout = new CounterLayout(16);
    const row = layout.row(1, Kind.Fetch) + Source.Memory;
    const counters = new Float64Array(layout.length);
    for (let node = 0; node < 16; node++) counters[row + node] = counters[layout.writeBacks(node)] = 100 + node;
    const told = toldOf(counters, eight, [nodes[2]!, nodes[7]!], 0, dataOf(eight));
    const expected = [0, 1, 7, 6, 4, 5, 3, 2, 8, 9, 10, 11, 12, 13, 14, 15].map((node) => 100 + node);
    expect(Array.from(told.subarray(row, row + 16))).toEqual(expected);
    expect(Array.from(told.subarray(layout.writeBacks(0), layout.writeBacks(15) + 1))).toEqual(expected);
  });
});

describe("the whole machine", () => {
  const names = ["fork1", "mount"];
  const measured = (spec: MachineSpec, all: boolean, at = where): Promise<CompareResult> =>
    compare(
      { spec, where: at, pti: true, levels: 4, seed: 1 },
      shippedReplay(),
      {
        policy: "per-node",
        files: names.map((key) => dataFile(`traces/hsw-${key}.kt.zst`)),
        isLong: isLongRun,
        wholeMachine: all,
      },
      (jobs) => Promise.resolve(jobs.map((job) => measureFile(job))),
    );
  let all: CompareResult;
  let alone: CompareResult;
  let home: CompareResult;
  beforeAll(async () => {
    all = await measured(e52690v3, true);
    alone = await measured(e52690v3, false);
    home = await measured(e52690v3, false, { cpu: 0, masterNode: 0, dataNode: 0 });
  });

  test("changes no figure of the CPU looked at, and has its node's", () => {
    expect(all.tests).toEqual(alone.tests);
    expect(alone.machine).toBeUndefined();
    const node = all.machine!.nodes[1]!;
    for (const each of node.tests) {
      const same = alone.tests.find(({ file, cache }) => file === each.file && cache === each.cache)!;
      expect(each).toMatchObject({ gain: same.gain, near: same.near, bound: same.bound, share: 1 });
    }
  });

  test("has the image's own node's too, as if it had been asked for", () => {
    for (const each of all.machine!.nodes[0]!.tests) {
      const asked = home.tests.find(({ file, cache }) => file === each.file && cache === each.cache)!;
      expect(each.gain.percent).toBeCloseTo(asked.gain.percent, 6);
      expect(each.bound).toBe(0);
    }
    expect(all.machine!.nodes[0]!.tests[0]!.gain.percent).toBeLessThan(-2);
  });

  test("its gain is the mean over tests and CPUs, within its nodes' limits; best and worst are told", () => {
    const { nodes, gain, best, worst } = all.machine!;
    for (const cache of ["cold", "hot"] as const) {
      const mean = (of: (gain: { percent: number; low: number; high: number }) => number): number =>
        nodes.reduce(
          (sum, { tests }) =>
            sum + tests.filter((each) => each.cache === cache).reduce((more, each) => more + of(each.gain) / 4, 0),
          0,
        );
      expect(gain[cache].percent).toBeCloseTo(
        mean((each) => each.percent),
        9,
      );
      // At one corner for all: never beyond the mean of each one's own worst.
      expect(gain[cache].low).toBeGreaterThanOrEqual(mean((each) => each.low) - 1e-9);
      expect(gain[cache].high).toBeLessThanOrEqual(mean((each) => each.high) + 1e-9);
      expect(gain[cache].low).toBeLessThan(gain[cache].percent);
    }
    expect([best.node, worst.node]).toEqual([1, 0]);
  });

  test("the verdict is five lines, on top and at the end; one CPU has none", () => {
    const text = compareText(all, screen);
    const verdict = verdictText(all, screen);
    expect(verdict.trim().split("\n").length).toBeLessThanOrEqual(6);
    expect(verdictSentences(all).length).toBeLessThanOrEqual(5);
    expect(text.split(verdict)).toHaveLength(3);
    expect(text.endsWith(verdict)).toBe(true);
    expect(verdict).toMatch(/48 CPUs: [\d.]+ \([\d.]+ \.\. [\d.]+\) % cold, -[\d.]+ \(/);
    expect(verdict).toMatch(/Best: node 1, 141\.2 ns away, .*; worst: node 0, the image's, -/);
    expect(verdict).toMatch(/29\.9 MiB at boot, 8 KiB a process; a fork takes 14,402 cycles longer cold/);
    expect(text).toContain("Every node: ");
    expect(verdict).toContain("Another design: `kreplica compare --policy NAME`");
    const one = compareText(alone, screen);
    expect(one).not.toMatch(/Verdict|Every node:/);
    expect(one).toContain("They say nothing of other nodes");
  });

  describe("where policies were asked", () => {
    const lazy = { name: "lazy-pgd", coldPercent: 15.1, hotPercent: -10.2 };
    const switched = { ...lazy, movedColdPercent: undefined, firstSwitchStores: 7230 };
    const moved = { ...switched, name: "home-node", movedColdPercent: -14.9 };
    const compared = { coldPercent: 14.5, hotPercent: -10.7 };
    const every = (): string[] => [...new Set(all.tests.map(({ test }) => test.name))];
    const answer = (better: BetterPolicy | null, tests = every()): CompareResult => ({
      ...all,
      policies: { tests, compared, better },
    });
    const line = (result: CompareResult): string => verdictText(result, screen).split("\n")[4]!;

    test("the verdict names the better one and its price, on a line of its own", () => {
      const brief = ["fork-1", "kill", "mount"];
      for (const better of [switched, moved, null])
        for (const tests of [every(), brief]) {
          const text = verdictText(answer(better, tests), screen);
          expect(text.trim().split("\n")).toHaveLength(6);
          expect(text).toContain(better?.name ?? "No other policy does better");
        }
      expect(line(answer(switched))).toMatch(/Better: lazy-pgd, 15\.1 \/ -10\.2; 7,230 stores a first switch\.$/);
      expect(line(answer(moved))).toMatch(/Better: home-node, .*; -14\.9 if moved\.$/);
      expect(line(answer(moved, brief))).toMatch(
        /Better on 3 short tests: home-node, by 0\.6 \/ 0\.5; -14\.9 if moved\.$/,
      );
      expect(line(answer(null, brief))).toMatch(/No other policy does better on fork-1, kill, mount\.$/);
    });

    test("in full it names the tests that were asked, where those are fewer, and by how much it is ahead there", () => {
      const full = (result: CompareResult): string => verdictSentences(result)[3]!;
      expect(full(answer(moved, ["kill"]))).toMatch(
        /Better on kill: home-node, 15\.1 \/ -10\.2, by 0\.6 \/ 0\.5; -14\.9 if moved\.$/,
      );
      expect(full(answer(moved))).not.toContain(", by ");
    });

    test("the document has its name, and the tests", () => {
      const told = (result: CompareResult) => {
        const { betterPolicy, betterPolicyTests } = machineCompareDocument(result).verdict!;
        return [betterPolicy, betterPolicyTests];
      };
      expect(told(answer(switched))).toEqual(["lazy-pgd", every()]);
      expect(told(answer(null, ["kill"]))).toEqual([null, ["kill"]]);
      expect(told(all)).toEqual([null, []]);
    });
  });
});
