/**
 * What replication itself does in fork, exec, exit and growth: as much as its closed form says, where it says, and
 * nothing with one node.
 */
/// <reference types="node" />
import { CounterLayout, Kind, type MachineSpec, Place, Source } from "@kreplica/hw-x86";
import { e52690v3, tiny2Node } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { accountTotal, cycleAccount, lineCounts, type TraceJob, type TraceMeasurement } from "@kreplica/replay";
import { Region } from "@kreplica/replay/program";
import { describe, expect, test } from "vitest";
import { measureFile } from "../../src/run-jobs.js";

type CycleTotal = ReturnType<typeof cycleAccount>;
const GIB = 2 ** 30;
/** Slots 273 to 511, the kernel's. */
const KERNEL_SLOTS = 239;
/** 64-byte lines they are in, and those of a table. */
const KERNEL_LINES = 30;
const TABLE_LINES = 64;

/**
 * What pgd_alloc and the two fillings of slots load and store in the recording, tables, page descriptors and pgd_lock
 * aside and a line just accessed left out: with the 60 lines of kernel slots two to three times as many loads as these
 * alone, where a port of the series to a smaller kernel showed about twice as many.
 */
const BODY = { loads: 111, stores: 60 } as const;

/** A machine of so many nodes, one CPU each. */
const machine = (nodes: number, virtualBits: 48 | 57 = 48): MachineSpec => ({
  ...tiny2Node,
  name: `${nodes}-nodes`,
  virtualBits,
  nodes: Array.from({ length: nodes }, (_, id) => ({ id, memoryBytes: 4 * GIB })),
  cpus: Array.from({ length: nodes }, (_, id) => ({
    ...tiny2Node.cpus[0]!,
    id,
    core: id,
    socket: id,
    l3: id,
    node: id,
  })),
  latencyNs: square(nodes, 80, 130),
  bandwidthMBs: square(nodes, 50_000, 25_000),
  distance: square(nodes, 10, 21),
});
const square = (size: number, near: number, far: number): number[][] =>
  Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => (i === j ? near : far)));

const measure = (key: string, given: Partial<TraceJob> = {}): TraceMeasurement[] =>
  measureFile({
    spec: machine(2),
    policies: ["single-copy", "per-node"],
    where: { cpu: 1, masterNode: 0, dataNode: 1 },
    pti: true,
    levels: 4,
    seed: 1,
    file: dataFile(`traces/hsw-${key}.kt.zst`),
    ...given,
  });

describe("a fork", () => {
  test.each([
    [2, true],
    [2, false],
    [3, true],
    [8, true],
  ])("on %i nodes, KPTI %j, stores (M - 1) x halves x (kernel slots + user slots) entries more", (nodes, pti) => {
    const [single, perNode] = measure("fork1", { spec: machine(nodes), pti });
    const halves = pti ? 2 : 1;
    const further = nodes - 1;
    for (const state of ["cold", "hot"] as const) {
      expect(single!.work[state]).toEqual({ pgdsMade: 0, pgdsFreed: 0, entryStores: 0, tablesCleared: 0 });
      expect(perNode!.work[state]).toEqual({
        pgdsMade: further,
        pgdsFreed: 0,
        entryStores: further * halves * (KERNEL_SLOTS + 2),
        tablesCleared: further * 2,
      });
      const { replicationLoads, replicationStores, replicationInstructions } = lineCounts(perNode![state], nodes);
      expect(replicationLoads).toBe(further * (halves * KERNEL_LINES + BODY.loads));
      // Both pages cleared, with KPTI or without; filled, two slots, and one page descriptor for each PGD.
      expect(replicationStores).toBe(further * (2 * TABLE_LINES + halves * (KERNEL_LINES + 2) + 1 + BODY.stores));
      expect(replicationInstructions).toBe(further * (686 + 14 + 14));
    }
  });

  test("with 5 levels links its first slot alone: the second is below the same P4D page", () => {
    const [, perNode] = measure("fork1", { spec: machine(2, 57), levels: 5 });
    expect(perNode!.work.cold).toEqual({
      pgdsMade: 1,
      pgdsFreed: 0,
      entryStores: 2 * (KERNEL_SLOTS + 1),
      tablesCleared: 2,
    });
  });

  test("stores to the other node's PGD and loads that node's kernel slots: none of it is near", () => {
    const [, perNode] = measure("fork1");
    const layout = new CounterLayout(2);
    const memory = (kind: Kind, node: number): number =>
      perNode!.cold[layout.row(Region.Replication, kind) + Source.Memory + node]!;
    const { replicationStores } = lineCounts(perNode!.cold, 2);
    expect(memory(Kind.Store, 0)).toBeGreaterThan(0.6 * (replicationStores - BODY.stores));
    expect(memory(Kind.Load, 0)).toBeGreaterThan(0);
    // A line of the repeated body may have left an L3 of 64 KiB meanwhile.
    expect(memory(Kind.Load, 1)).toBeLessThanOrEqual(1);
    expect(memory(Kind.Store, 1)).toBe(0);
  });
});

test("an exit takes three slots out of each further PGD and gives the PGD back", () => {
  for (const [nodes, pti] of [
    [2, true],
    [3, false],
  ] as const) {
    const [, perNode] = measure("kill", { spec: machine(nodes), pti });
    expect(perNode!.work.hot).toEqual({
      pgdsMade: 0,
      pgdsFreed: nodes - 1,
      entryStores: (nodes - 1) * 3 * (pti ? 2 : 1),
      tablesCleared: 0,
    });
  }
});

test("a process that was there before keeps its other slots: with 5 levels neither mmap nor munmap stores to a PGD", () => {
  const [, perNode] = measure("n16-touch", { spec: machine(2, 57), levels: 5 });
  expect(perNode!.work.cold.entryStores).toBe(0);
  expect(measure("n16-touch")[1]!.work.cold.entryStores).toBe(2);
});

test("policies that make one PGD for a process have none of this work, and gain the more", () => {
  const [single, perNode, lazy, home, textOnly] = measure("fork1", {
    policies: ["single-copy", "per-node", "lazy-pgd", "home-node", "text-only"],
  });
  const cycles = (of: TraceMeasurement | undefined): number => cycleAccount(of!.cold, machine(2), 1).cycles;
  expect([lazy, home].map((each) => each!.work.cold.entryStores)).toEqual([0, 0]);
  expect(textOnly!.work.cold).toEqual(perNode!.work.cold);
  expect(cycles(lazy)).toBeLessThan(cycles(perNode));
  expect(cycles(home)).toBe(cycles(lazy));
  expect(cycles(perNode)).toBeLessThan(cycles(textOnly));
  expect(cycles(textOnly)).toBeLessThan(cycles(single));
});

describe("the account", () => {
  test("has the work under its own name and adds up with it", () => {
    const [, perNode] = measure("fork1");
    const { cycles, account } = cycleAccount(perNode!.cold, machine(2), 1);
    expect(accountTotal(account)).toBe(cycles);
    expect(account.replication).toBeGreaterThan(0);
    const without = perNode!.cold.slice();
    const layout = new CounterLayout(2);
    without.fill(0, layout.row(Region.Replication, 0), layout.row(Region.Replication + 1, 0));
    for (const at of [Place.Instructions, Place.FetchSecondTlb, Place.DataSecondTlb])
      without[layout.place(Region.Replication, at)] = 0;
    expect(cycleAccount(without, machine(2), 1).cycles).toBe(cycles - account.replication);
  });

  test("with the work left out is what the kernels differ in by place alone", () => {
    const [, perNode] = measure("fork1", { work: false });
    expect(cycleAccount(perNode!.cold, machine(2), 1).account.replication).toBe(0);
    expect(perNode!.work.cold.entryStores).toBe(0);
  });
});

test("on the image's own node the work is all there is between the kernels, to a line or two of page tables", () => {
  const given = {
    spec: e52690v3,
    policies: ["single-copy", "per-node"],
    where: { cpu: 0, masterNode: 0, dataNode: 0 },
    pti: true,
    levels: 4 as const,
    seed: 1,
    file: dataFile("traces/hsw-fork1.kt.zst"),
  };
  const [single, perNode] = measureFile(given);
  const [, idle] = measureFile({ ...given, work: false });
  const [one, each, unworked] = [single!, perNode!, idle!].map(({ cold }) => cycleAccount(cold, e52690v3, 0)) as [
    CycleTotal,
    CycleTotal,
    CycleTotal,
  ];
  expect(each.account.text).toEqual({ ...one.account.text, ownL3: each.account.text.ownL3, l2: each.account.text.l2 });
  expect(Math.abs(each.cycles - each.account.replication - one.cycles)).toBeLessThan(0.001 * one.cycles);
  expect(Math.abs(unworked.cycles - one.cycles)).toBeLessThan(0.001 * one.cycles);
  // Patch 06 spares the walker the PTE page at the end of text: one line of memory, and no other differs.
  expect(one.account.walks.local - unworked.account.walks.local).toBeCloseTo(183.82, 2);
  expect([unworked.account.text, unworked.account.data, unworked.account.rodata]).toEqual([
    one.account.text,
    one.account.data,
    one.account.rodata,
  ]);
});

test("with one node nothing is spliced in", () => {
  const spec = machine(1);
  for (const key of ["fork1", "kill"]) {
    const [single, perNode] = measure(key, { spec, where: { cpu: 0, masterNode: 0, dataNode: 0 } });
    for (const state of ["cold", "hot"] as const)
      for (const of of [single!, perNode!]) {
        expect(of.work[state]).toEqual({ pgdsMade: 0, pgdsFreed: 0, entryStores: 0, tablesCleared: 0 });
        const { replicationLoads, replicationStores, replicationInstructions } = lineCounts(of[state], 1);
        expect([replicationLoads, replicationStores, replicationInstructions]).toEqual([0, 0, 0]);
      }
  }
});
