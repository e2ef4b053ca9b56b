/**
 * The gain of near instead of far text against its bound: on equal latencies nothing, and never more, whatever the
 * machine.
 */
/// <reference types="node" />
import { POLICIES } from "@kreplica/kernel";
import { e52690v3 } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { bound, boundBeyondL2, gain, nearGain, PARAMETERS, type TraceMeasurement } from "@kreplica/replay";
import { Region } from "@kreplica/replay/program";
import * as fc from "fast-check";
import { CounterLayout, Kind, type MachineSpec, Place, Source } from "@kreplica/hw-x86";
import { describe, expect, test } from "vitest";
import { measureFile } from "../../src/run-jobs.js";

const away = { cpu: 12, masterNode: 0, dataNode: 1 };
const PLACE = { nodeIndex: 1, far: 0, near: 1 };
const states = ["cold", "hot"] as const;
const POLICY_NAMES = Object.keys(POLICIES).filter((name) => name !== "single-copy");
const equal: MachineSpec = {
  ...e52690v3,
  latencyNs: [
    [98.8, 98.8],
    [98.8, 98.8],
  ],
};

/** One copy built alike, and every policy; by recording. */
const measured: TraceMeasurement[][] = ["fork1", "mount", "kill", "n16-touch"].map((key) =>
  measureFile({
    spec: e52690v3,
    policies: ["single-copy", ...POLICY_NAMES],
    where: away,
    pti: true,
    levels: 4,
    seed: 1,
    alignment: "patch-06",
    file: dataFile(`traces/hsw-${key}.kt.zst`),
  }),
);

describe("equal latencies", () => {
  test.each(POLICY_NAMES.map((policy, i) => [policy, i + 1] as const))(
    "%s gains nothing by near text, and its bound is 0, in every test, hot and cold",
    (_policy, at) => {
      for (const [single, ...others] of measured)
        for (const state of states) {
          const perNode = others[at - 1]!;
          expect(nearGain(single![state], perNode[state], equal, PLACE), `${single!.file} ${state}`).toBe(0);
          expect(bound(single![state], equal, PLACE)).toBe(0);
        }
    },
  );

  test("what is left between a kernel with copies and one copy built alike is the place of its tables and its own work", () => {
    // Hot, fork-1 pays for its further PGD; what patch 06 gained mount is in neither.
    const [fork1, mount] = measured;
    const at = 1 + POLICY_NAMES.indexOf("per-node");
    expect(gain(fork1![0]!.hot, fork1![at]!.hot, equal, 1).percent).toBeLessThan(-3);
    for (const state of states)
      expect(gain(mount![0]![state], mount![at]![state], equal, 1).percent).toBeLessThan(0.05);
  });
});

test("of a cold test nearly all of the gain is near text, and where the text stays far there is none", () => {
  const [, mount] = measured;
  const of = (policy: string): number =>
    nearGain(mount![0]!.cold, mount![1 + POLICY_NAMES.indexOf(policy)]!.cold, e52690v3, PLACE);
  const whole = gain(mount![0]!.cold, mount![1 + POLICY_NAMES.indexOf("per-node")]!.cold, e52690v3, 1).percent;
  expect(Math.abs(of("per-node") - whole)).toBeLessThan(0.1);
  expect(of("per-node") - of("text-only")).toBeGreaterThan(0.3);
  expect(nearGain(mount![0]!.cold, mount![0]!.cold, e52690v3, PLACE)).toBe(0);
});

/** A parameter and its range within limits. */
const ranged = (min: number, max: number) =>
  fc
    .tuple(
      fc.double({ min, max, noNaN: true }),
      fc.double({ min, max, noNaN: true }),
      fc.double({ min, max, noNaN: true }),
    )
    .map((three) => three.sort((a, b) => a - b))
    .map(([low, value, high]) => ({ value: value!, low: low!, high: high!, source: "drawn" }));
const machines = fc
  .record({
    near: fc.double({ min: 20, max: 300, noNaN: true }),
    ratio: fc.double({ min: 0.5, max: 6, noNaN: true }),
    spread: fc.double({ min: 0, max: 0.9, noNaN: true }),
    hertz: ranged(5e8, 6e9),
    cpi: ranged(0, 3),
    fetch: ranged(0.05, 1),
    load: ranged(0.05, 1),
    store: ranged(0.05, 1),
    walk: ranged(0.05, 1),
    hidden: fc.option(ranged(0, 2000), { nil: undefined }),
    l1: ranged(1, 8),
    l2: ranged(8, 40),
    l3: ranged(20, 200),
    same: ranged(10, 300),
    other: ranged(10, 600),
  })
  .map((drawn): MachineSpec => ({
    ...e52690v3,
    latencyNs: [
      [drawn.near, drawn.near * drawn.ratio],
      [drawn.near * drawn.ratio, drawn.near],
    ],
    latencySpread: drawn.spread,
    hertz: drawn.hertz,
    l1i: { ...e52690v3.l1i, cycles: drawn.l1 },
    l1d: { ...e52690v3.l1d, cycles: drawn.l1 },
    l2: { ...e52690v3.l2, cycles: drawn.l2 },
    l3: { ...e52690v3.l3, cycles: drawn.l3 },
    cacheToCacheNs: { sameSocket: drawn.same, otherSocket: drawn.other },
    costs: {
      ...e52690v3.costs,
      cyclesPerInstruction: drawn.cpi,
      fetchExposure: drawn.fetch,
      loadExposure: drawn.load,
      storeExposure: drawn.store,
      walkExposure: drawn.walk,
      ...(drawn.hidden ? { prefetchHiddenCycles: drawn.hidden } : {}),
    },
  }));
const points = fc
  .tuple(...PARAMETERS.map(() => fc.constantFrom("low", "value", "high")))
  .map((sides) => Object.fromEntries(PARAMETERS.map((name, i) => [name, sides[i]])));

/**
 * Kernel text, rodata and walks from few places, before from the far node and afterwards from the near one; other
 * counts alike.
 */
const layout = new CounterLayout(2);
const ROWS = [
  [Region.Kernel, Kind.Fetch],
  [Region.Kernel, Kind.PrefetchedFetch],
  [Region.Rodata, Kind.Load],
  [Region.User, Kind.Walk],
  [Region.Kernel, Kind.Load],
] as const;
const SOURCES = [Source.L2, Source.OwnL3, Source.Memory, layout.cleanSameSocket, layout.cleanOtherSocket];
const counts = fc
  .tuple(
    fc.array(fc.tuple(fc.nat(ROWS.length - 1), fc.nat(SOURCES.length - 1), fc.nat(1000)), {
      maxLength: 8,
      size: "max",
    }),
    fc.oneof(fc.constant(0), fc.nat(1_000_000)),
  )
  .map(([some, instructions]) => {
    const [single, perNode] = [new Float64Array(layout.length), new Float64Array(layout.length)];
    for (const [row, source, count] of some) {
      const [region, kind] = ROWS[row]!;
      const from = SOURCES[source]!;
      single[layout.row(region, kind) + from]! += count;
      perNode[layout.row(region, kind) + from + (from >= Source.Memory && row < 4 ? 1 : 0)]! += count;
    }
    single[layout.place(Region.Kernel, Place.Instructions)] = perNode[layout.place(Region.Kernel, Place.Instructions)] =
      instructions;
    return { single, perNode };
  });
/** Prices are whole 1024ths of a cycle. */
const ROUNDING = 0.02;

test("never more than the bound: recorded counts, at every corner of the ranges of machines of every kind", () => {
  let positive = 0;
  fc.assert(
    fc.property(
      machines,
      points,
      fc.nat(measured.length - 1),
      fc.nat(POLICY_NAMES.length - 1),
      fc.constantFrom(...states),
      (spec, point, test, policy, state) => {
        const [single, perNode] = [measured[test]![0]![state], measured[test]![1 + policy]![state]];
        const of = nearGain(single, perNode, spec, PLACE, point);
        if (of > 1) positive++;
        expect(of).toBeLessThanOrEqual(boundBeyondL2(single, spec, PLACE) + ROUNDING);
        expect(of).toBeLessThanOrEqual(bound(single, spec, PLACE) + ROUNDING);
      },
    ),
    { numRuns: 400, seed: 11, endOnFailure: true },
  );
  expect(positive).toBeGreaterThan(20);
});

test("never more than the bound: counts that are nothing but a few far lines, prefetched or not", () => {
  let close = 0;
  fc.assert(
    fc.property(machines, points, counts, (spec, point, { single, perNode }) => {
      const [of, most] = [nearGain(single, perNode, spec, PLACE, point), boundBeyondL2(single, spec, PLACE)];
      if (most > 0 && of > 0.9 * most) close++;
      // Where a line costs next to nothing, a 1024th of a cycle is a large part of it.
      expect(of).toBeLessThanOrEqual(most + Math.max(ROUNDING, most * 0.01));
    }),
    { numRuns: 1500, seed: 12, endOnFailure: true },
  );
  expect(close).toBeGreaterThan(5);
});

test("the bound beyond L2 is the lower one, hot by much", () => {
  for (const [single] of measured) {
    for (const state of states)
      expect(boundBeyondL2(single![state], e52690v3, PLACE)).toBeLessThanOrEqual(
        bound(single![state], e52690v3, PLACE),
      );
  }
  const [, mount] = measured;
  expect(boundBeyondL2(mount![0]!.hot, e52690v3, PLACE)).toBeLessThan(1);
  expect(bound(mount![0]!.hot, e52690v3, PLACE)).toBeGreaterThan(25);
});

test("what L2 answers is beyond reach of the bound beyond L2, and within that of the other", () => {
  const counters = new Float64Array(layout.length);
  counters[layout.row(Region.Kernel, Kind.Fetch) + Source.L2] = 1000;
  counters[layout.place(Region.Kernel, Place.Instructions)] = 1000;
  expect(bound(counters, e52690v3, PLACE)).toBeGreaterThan(25);
  expect(boundBeyondL2(counters, e52690v3, PLACE)).toBe(0);
  counters[layout.row(Region.Kernel, Kind.Fetch) + Source.OwnL3] = 10;
  expect(boundBeyondL2(counters, e52690v3, PLACE)).toBeGreaterThan(1);
});

test("a run of nothing but prefetched far lines, beside many that L2 answers, is bounded by its prefetched lines alone", () => {
  const spec: MachineSpec = {
    ...e52690v3,
    latencyNs: [
      [100, 200],
      [200, 100],
    ],
    costs: { ...e52690v3.costs, prefetchHiddenCycles: { value: 250, source: "made" } },
  };
  const of = (node: number): Float64Array => {
    const counters = new Float64Array(layout.length);
    counters[layout.row(Region.Kernel, Kind.PrefetchedFetch) + Source.Memory + node] = 1000;
    counters[layout.row(Region.Kernel, Kind.Fetch) + Source.L2] = 1000;
    return counters;
  };
  const gained = nearGain(of(0), of(1), spec, PLACE);
  expect(gained).toBeGreaterThan(75);
  expect(gained).toBeLessThanOrEqual(bound(of(0), spec, PLACE));
});
