/**
 * Recordings weighted by calls: which calls a recording takes, the weights, what is left over; and costs times rates.
 */
import type { CallCount } from "@kreplica/inputs";
import { e52690v3 } from "@kreplica/machines";
import { traceTests } from "@kreplica/trace";
import { expect, test } from "vitest";
import type { Comparison } from "../src/measure/compare.js";
import { hasRecordedCall, mixGain } from "../src/measure/mix.js";
import { forkCycles, rateCosts } from "../src/measure/rates.js";
import type { WholeMachine } from "../src/measure/whole-machine.js";

/** Both states of a test: cycles with one copy, and gains. */
const pair = (key: string, iterations: number, cycles: readonly [number, number], gains: readonly [number, number]) =>
  (["cold", "hot"] as const).map(
    (cache, nth) =>
      ({
        test: traceTests.find((each) => each.key === key)!,
        file: key,
        cache,
        iterations,
        counted: true,
        singleCopy: { cycles: cycles[nth] },
        perNode: { work: { pgdsMade: key.startsWith("fork") ? 1 : 0 }, account: { replication: 100 * (nth + 1) } },
        gain: { percent: gains[nth], low: gains[nth]! - 1, high: gains[nth]! + 2 },
      }) as unknown as Comparison,
  );
const OPEN = pair("open", 10, [2000, 1000], [4, 1]);
const KILL = pair("kill", 1, [500, 100], [20, 10]);
const TESTS = [...OPEN, ...KILL];
const mix = (
  calls: Record<string, number | readonly [number, number]>,
  coldShare = 0,
  tests = TESTS,
  machine?: WholeMachine,
) =>
  mixGain(
    {
      file: "f",
      coldShare,
      calls: Object.entries(calls).map(([name, of]): CallCount =>
        typeof of === "number" ? { name, calls: of } : { name, calls: of[0], seconds: of[1] },
      ),
    },
    tests,
    machine,
  );

test("weights are calls times cycles a call; the share that runs cold takes cold cycles and gains", () => {
  // Hot: 3 opens of 100 cycles at 1 %, 2 kills of 100 at 10 %.
  const hot = mix({ openat: 2, open: 1, kill: 2 });
  expect(hot.gain!.percent).toBeCloseTo((300 * 1 + 200 * 10) / 500, 9);
  expect(hot.gain!.low).toBeCloseTo(hot.gain!.percent - 1, 9);
  expect(hot.gain!.high).toBeCloseTo(hot.gain!.percent + 2, 9);
  expect(hot.tests.map(({ weight, gain }) => [weight, gain])).toEqual([
    [0.6, 1],
    [0.4, 10],
  ]);
  // A quarter cold: opens 0.25 x 200 + 0.75 x 100, kills 0.25 x 500 + 0.75 x 100.
  expect(mix({ openat: 3, kill: 2 }, 0.25).gain!.percent).toBeCloseTo(
    (3 * (50 * 4 + 75 * 1) + 2 * (125 * 20 + 75 * 10)) / (3 * 125 + 2 * 200),
    9,
  );
  expect(mix({ kill: 7 }, 1).gain!.percent).toBe(20);
});

test("a close counts with its open; what is beyond, and calls of no recording, are told with their share of the time", () => {
  const found = mix({ openat: [4, 3], close: [6, 3], read: [9, 2], mmap: [1, 2] });
  expect(found.tests.map(({ iterations, calls }) => [iterations, calls])).toEqual([[4, 8]]);
  expect([found.total, found.covered]).toEqual([20, 8]);
  expect(found.uncovered).toEqual([
    { name: "read", calls: 9, seconds: 2 },
    { name: "mmap", calls: 1, seconds: 2 },
    { name: "close", calls: 2, seconds: 1 },
  ]);
  expect(found.coveredTime).toBeCloseTo(0.5, 9);
  expect(mix({ openat: 4 }).coveredTime).toBeUndefined();
  expect(mix({ read: 4 })).toMatchObject({ gain: undefined, tests: [], covered: 0 });
  expect(hasRecordedCall([{ name: "close", calls: 4 }])).toBe(false);
});

test("mlock takes mmap and munmap with it before mmap does; a fork is the single one where it was compared", () => {
  const all = [
    ...pair("mmap", 1, [1, 1], [0, 0]),
    ...pair("mlock", 1, [1, 1], [0, 0]),
    ...pair("forkN", 4, [4, 4], [5, 5]),
  ];
  const calls = { mmap: 10, munmap: 7, mlock: 3, clone3: 2 };
  const of = (tests: readonly Comparison[]) =>
    Object.fromEntries(mix(calls, 0, [...tests]).tests.map((each) => [each.test.key, [each.iterations, each.calls]]));
  expect(of(all)).toEqual({ forkN: [2, 2], mlock: [3, 9], mmap: [7, 11] });
  expect(of([...all, ...pair("fork1", 1, [9, 9], [1, 1])])).toMatchObject({ fork1: [2, 2] });
  // A recording in which no call could be counted says nothing of one call.
  expect(of(all.map((each) => ({ ...each, counted: false })))).toEqual({});
});

test("over the machine: every node by its own cycles, their mean by CPUs", () => {
  const node = (id: number, cpus: number, openCycles: number) => ({
    node: id,
    cpus,
    tests: TESTS.map((each) => ({
      ...each,
      singleCycles: each.file === "open" ? openCycles : each.singleCopy.cycles,
    })),
  });
  const machine = { nodes: [node(0, 1, 1000), node(1, 3, 3000)] } as unknown as WholeMachine;
  const found = mix({ openat: 1, kill: 1 }, 0, TESTS, machine);
  expect(found.nodes.map(({ gain }) => gain)).toEqual([5.5, (300 * 1 + 100 * 10) / 400]);
  expect(found.gain!.percent).toBeCloseTo((5.5 + 3 * 3.25) / 4, 9);
});

test("rates: bytes of processes, cycles of forks and first switches as percent of one CPU and of all", () => {
  const result = {
    job: { spec: e52690v3 },
    process: { bytes: 100, everywhereBytes: 300 },
    tests: [...KILL, ...pair("forkN", 10, [1, 1], [0, 0])],
    switchStores: 7,
  } as unknown as Parameters<typeof rateCosts>[1];
  const hertz = e52690v3.hertz.value;
  const memory = e52690v3.nodes.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  expect(rateCosts({ processes: 20 }, result, undefined)).toEqual({
    processes: {
      count: 20,
      bytes: 2000,
      everywhereBytes: 6000,
      percent: (100 * 2000) / memory,
      everywherePercent: (100 * 6000) / memory,
    },
  });
  const { forks } = rateCosts({ forksPerSecond: hertz / 1000 }, result, undefined);
  expect(forks!.time!.cycles).toEqual({ cold: 10, hot: 20 });
  expect(forks!.time!.cpuPercent.cold).toBeCloseTo(1, 9);
  expect(forks!.time!.machinePercent.hot).toBeCloseTo(2 / e52690v3.cpus.length, 9);
  expect(rateCosts({ forksPerSecond: 1 }, { ...result, tests: KILL }, undefined).forks!.time).toBeUndefined();
  // A program of one's own: one run of it makes many PGDs, by forks and execs.
  const own = pair("fork1", 1, [1, 1], [0, 0]).map((each) => ({
    ...each,
    test: { id: 32, key: "web", name: "web", iterations: 1 },
    perNode: { ...each.perNode, work: { ...each.perNode.work, pgdsMade: 4 } },
  }));
  expect(forkCycles(own)).toEqual({ cycles: { cold: 25, hot: 50 }, forksAlone: false });
  expect(forkCycles([...own, ...pair("fork1", 1, [1, 1], [0, 0])])).toEqual({
    cycles: { cold: 100, hot: 200 },
    forksAlone: true,
  });
  const moved = { stores: 482, pgdsMade: 1, cycles: { cold: 5, hot: 4 }, test: "fork-1", repeated: true };
  expect(rateCosts({ migrationsPerSecond: 2 }, result, moved).migrations).toMatchObject({
    stores: 482,
    bytesPerSecond: 2 * 8 * 482,
    time: { cycles: { cold: 5, hot: 4 } },
  });
  expect(rateCosts({ migrationsPerSecond: 2 }, result, undefined).migrations).toMatchObject({
    stores: 7,
    time: undefined,
  });
});
