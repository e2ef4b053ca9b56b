/** What anybody would check before believing a comparison. Whole kernels, short recordings. */
/// <reference types="node" />
import { CounterLayout, Event, Kind, KINDS, type MachineSpec, Place, REGIONS } from "@kreplica/hw-x86";
import { e52690v3, recordedGuest } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import {
  accountTotal,
  bound,
  cycleAccount,
  defaultDataNode,
  gain,
  indexOf,
  lineCounts,
  measureHotCold,
  otherCpus,
  type TraceJob,
  type TraceMeasurement,
  type Where,
} from "@kreplica/replay";
import { Region, Replayer } from "@kreplica/replay/program";
import { describe, expect, test } from "vitest";
import { boot } from "../../src/boot.js";
import { measureFile } from "../../src/run-jobs.js";
import { loadFile } from "../load-file.js";

const files = ["fork1", "mount"].map((key) => dataFile(`traces/hsw-${key}.kt.zst`));
/** Percent: what the place of a node's own page tables alone moves a cold result by, docs/model.md. */
const RESOLUTION = 0.1;
const states = ["cold", "hot"] as const;

type Shape = Partial<Pick<TraceJob, "work" | "alignment" | "levels">>;

/** Recordings measured on kernels of these policies; by recording, then policy. */
const measure = (
  spec: MachineSpec,
  policies: readonly string[],
  where: Where,
  which = files,
  shape: Shape = {},
): TraceMeasurement[][] =>
  which.map((file) => measureFile({ spec, policies, where, pti: true, levels: 4, seed: 1, file, ...shape }));
const pair = (spec: MachineSpec, where: Where, which = files, shape: Shape = {}) =>
  measure(spec, ["single-copy", "per-node"], where, which, shape).map(([single, perNode]) => ({
    single: single!,
    perNode: perNode!,
  }));

/** As recorded: CPU and data on node 1, image on node 0. */
const away: Where = { cpu: 12, masterNode: 0, dataNode: 1 };

describe("a CPU away from the image", () => {
  const measured = pair(e52690v3, away);

  test("fetches text from far with one copy and from near with its own, and from nowhere else", () => {
    for (const { single, perNode } of measured) {
      const one = cycleAccount(single.cold, e52690v3, 1).account;
      const each = cycleAccount(perNode.cold, e52690v3, 1).account;
      expect(one.text.remote).toBeGreaterThan(0);
      expect([one.text.local, each.text.remote, one.rodata.local, each.rodata.remote]).toEqual([0, 0, 0, 0]);
      expect(each.rodata.local).toBeGreaterThan(0);
      // The same lines, from elsewhere.
      expect(lineCounts(perNode.cold, 2).textFromMemory).toBe(lineCounts(single.cold, 2).textFromMemory);
    }
  });

  test("the account sums to the total, exactly", () => {
    for (const { single, perNode } of measured)
      for (const state of states)
        for (const counters of [single[state], perNode[state]]) {
          const { cycles, account } = cycleAccount(counters, e52690v3, 1);
          expect(accountTotal(account)).toBe(cycles);
          expect(cycles).toBeGreaterThan(0);
        }
  });

  test("every count is in the account, interrupts included", () => {
    const { length } = measured[0]!.single.cold;
    const layout = new CounterLayout(2);
    // Regions 5 to 7 are not used by a replay: their references and their places, and nothing else, may be missing.
    const unused = new Set<number>();
    for (let region = 5; region < REGIONS; region++) {
      for (let at = layout.row(region, 0); at < layout.row(region + 1, 0); at++) unused.add(at);
      for (let at = layout.place(region, 0); at < layout.place(region + 1, 0); at++) unused.add(at);
    }
    expect(unused.size).toBe(3 * (KINDS * layout.sources + 5));
    for (let i = 0; i < length; i++) {
      const one = new Float64Array(length);
      one[i] = 1;
      const { cycles, account } = cycleAccount(one, e52690v3, 1);
      if (!unused.has(i)) expect(accountTotal(account), `count ${i}`).toBe(cycles);
    }
    const interrupts = new Float64Array(length);
    interrupts[layout.event(Event.InterruptsTaken)] = 2;
    expect(accountTotal(cycleAccount(interrupts, e52690v3, 1).account)).toBe(2 * e52690v3.costs.ipiCycles.value);
  });

  test("cold is cold whatever ran before", () => {
    const booted = boot({ spec: e52690v3, policy: "single-copy", pti: true, masterNode: 0, recordedNodes: [0, 1] });
    const { workload, measured: vcpu } = loadFile(files[1]!, (address, frame) => booted.recorded.map(address, frame));
    const replayer = new Replayer(booted, 12, vcpu, otherCpus(e52690v3, away, vcpu));
    const memoryLines = [0, 1].map(
      () => lineCounts(measureHotCold(replayer, workload, e52690v3, 1).cold, 2).textFromMemory,
    );
    expect(memoryLines).toEqual([lineCounts(measured[1]!.single.cold, 2).textFromMemory, memoryLines[0]]);
    expect(memoryLines[0]).toBeGreaterThan(700);
  });

  test("gains when cold, between its limits and below the bound", () => {
    for (const { single, perNode } of measured) {
      const of = gain(single.cold, perNode.cold, e52690v3, 1);
      expect(of.percent).toBeGreaterThan(5);
      expect(of.low).toBeLessThan(of.percent);
      expect(of.high).toBeGreaterThan(of.percent);
      expect(bound(single.cold, e52690v3, { nodeIndex: 1, far: 0, near: 1 })).toBeGreaterThanOrEqual(
        of.high - RESOLUTION,
      );
      // Text can never save more than the difference of the latencies.
      expect(bound(single.cold, e52690v3, { nodeIndex: 1, far: 0, near: 1 })).toBeLessThan((1 - 98.8 / 141.2) * 100);
    }
  });

  test("gain grows with the ratio of remote to local latency, from none when they are equal", () => {
    const [{ single, perNode }] = pair(e52690v3, away, [files[0]!], { work: false }) as [(typeof measured)[0]];
    const gains = [98.8, 110, 130, 160, 220, 400].map(
      (remote) =>
        gain(
          single.cold,
          perNode.cold,
          {
            ...e52690v3,
            latencyNs: [
              [98.8, remote],
              [remote, 98.8],
            ],
          },
          1,
        ).percent,
    );
    for (let i = 1; i < gains.length; i++) expect(gains[i]).toBeGreaterThan(gains[i - 1]!);
    expect(Math.abs(gains[0]!)).toBeLessThan(0.1);
  });

  test("hot costs less than cold, settled, and text is not fetched from memory", () => {
    for (const { single } of measured) {
      expect(cycleAccount(single.hot, e52690v3, 1).cycles).toBeLessThan(
        cycleAccount(single.cold, e52690v3, 1).cycles / 2,
      );
      expect(single.settled).toBe(true);
      expect(lineCounts(single.hot, 2).textFromMemory).toBe(0);
    }
  });

  test("the same seed gives the same counts, and so does another order of recordings, and a kernel measured alone", () => {
    const again = measure(e52690v3, ["per-node"], away, [...files].reverse()).reverse();
    expect(again.map(([only]) => [only!.cold, only!.hot])).toEqual(
      measured.map(({ perNode }) => [perNode.cold, perNode.hot]),
    );
  });
});

describe("on the image's own node", () => {
  const home: Where = { cpu: 0, masterNode: 0, dataNode: 0 };
  const every = ["fork1", "mount", "kill", "poke"].map((key) => dataFile(`traces/hsw-${key}.kt.zst`));

  test.each<[string, Where, Shape]>([
    ["node 0", home, {}],
    ["node 1", { cpu: 12, masterNode: 1, dataNode: 1 }, {}],
    ["node 0, 5 levels", home, { levels: 5 }],
    ["node 0, ends as recorded", home, { alignment: "recorded" }],
  ])("the same image is the same run, to the last count, replication's own work aside: %s", (_what, where, shape) => {
    const spec = shape.levels === 5 ? { ...e52690v3, virtualBits: 57 as const } : e52690v3;
    const policies = ["single-copy", "per-node", "text-only", "home-node"];
    for (const [single, ...others] of measure(spec, policies, where, shape.levels ? files : every, {
      work: false,
      alignment: "patch-06",
      ...shape,
    })) {
      for (const { cold, hot } of others) expect([cold, hot]).toEqual([single!.cold, single!.hot]);
      expect(cycleAccount(single!.cold, spec, where.masterNode).account.text.remote).toBe(0);
      expect(
        bound(single!.cold, spec, { nodeIndex: where.masterNode, far: where.masterNode, near: where.masterNode }),
      ).toBe(0);
    }
  });

  test("what a comparison shows there is patch 06 alone, which one copy would show too", () => {
    for (const file of every) {
      const [recorded, aligned, perNode] = (["recorded", "patch-06", undefined] as const).map(
        (alignment) =>
          measure(e52690v3, [alignment ? "single-copy" : "per-node"], home, [file], {
            work: false,
            ...(alignment ? { alignment } : {}),
          })[0]![0]!,
      );
      expect([perNode!.cold, perNode!.hot]).toEqual([aligned!.cold, aligned!.hot]);
      expect(Math.abs(gain(recorded!.cold, perNode!.cold, e52690v3, 0).percent)).toBeLessThan(RESOLUTION);
    }
  });

  test("replication's own work changes where lines are found and not what is executed", () => {
    const layout = new CounterLayout(2);
    const executed = (counters: Float64Array): number[] =>
      [Region.User, Region.Kernel, Region.Rodata, Region.Module].flatMap((region) => [
        counters[layout.place(region, Place.Instructions)]!,
        ...[[Kind.Fetch, Kind.PrefetchedFetch], [Kind.Load], [Kind.Store]].map((kinds) =>
          kinds.reduce(
            (sum, kind) =>
              sum +
              counters
                .subarray(layout.row(region, kind), layout.row(region, kind) + layout.sources)
                .reduce((all, each) => all + each, 0),
            0,
          ),
        ),
      ]);
    for (const { single, perNode } of pair(e52690v3, home, every, { alignment: "patch-06" })) {
      for (const state of states) {
        expect(executed(perNode[state])).toEqual(executed(single[state]));
        const { account } = cycleAccount(perNode[state], e52690v3, 0);
        expect([
          account.text.remote,
          account.rodata.remote,
          cycleAccount(single[state], e52690v3, 0).account.replication,
        ]).toEqual([0, 0, 0]);
        // Where there is none, nothing at all changes.
        if (account.replication === 0) expect(perNode[state]).toEqual(single[state]);
      }
    }
  });
});

test("with one node nothing is copied and nothing changes, to the last count", () => {
  const one: MachineSpec = {
    ...e52690v3,
    name: "one-node",
    nodes: [e52690v3.nodes[0]!],
    cpus: e52690v3.cpus.filter((cpu) => cpu.node === 0),
    latencyNs: [[101]],
    bandwidthMBs: [[57_936]],
    distance: [[10]],
  };
  const where: Where = { cpu: 0, masterNode: 0, dataNode: 0 };
  const { extraBytes, closedForm } = boot({ spec: one, policy: "per-node", pti: true }).memory();
  expect([extraBytes, closedForm]).toEqual([0, 0]);
  for (const alignment of ["recorded", "patch-06"] as const) {
    for (const { single, perNode } of pair(one, where, files, { alignment })) {
      expect([perNode.cold, perNode.hot]).toEqual([single.cold, single.hot]);
      expect(cycleAccount(perNode.cold, one, 0).account.replication).toBe(0);
    }
  }
});

test("a machine of the guest's own size replays its recordings frame for frame", () => {
  const [{ single, perNode }] = pair(recordedGuest, { cpu: 2, masterNode: 0, dataNode: 1 }, [files[1]!]) as [
    { single: TraceMeasurement; perNode: TraceMeasurement },
  ];
  expect(gain(single.cold, perNode.cold, recordedGuest, 1).percent).toBeGreaterThan(5);
});

describe("placement", () => {
  test("data lies beside the CPU, or on the nearest node with memory", () => {
    expect(defaultDataNode(e52690v3, 12)).toBe(1);
    const memoryless: MachineSpec = { ...e52690v3, nodes: [e52690v3.nodes[0]!, { id: 1, memoryBytes: 0 }] };
    expect(defaultDataNode(memoryless, 12)).toBe(0);
    expect(indexOf(e52690v3, 1)).toBe(1);
  });

  test("other virtual CPUs get cores of their own on the nodes that stand for theirs", () => {
    const other = otherCpus(e52690v3, away, 2);
    const node = (cpu: number): number => e52690v3.cpus.find((each) => each.id === cpu)!.node;
    expect([0, 1, 3].map((vcpu) => node(other(vcpu)))).toEqual([0, 0, 1]);
    expect(new Set([0, 1, 3].map(other)).size).toBe(3);
    expect([12, 36]).not.toContain(other(3)); // 36 shares the core of 12
  });
});
