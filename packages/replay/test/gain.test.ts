/** Interval and bound by hand, from a few events on a machine whose every number is round. */
import { account, CounterLayout, Kind, type MachineSpec, Place, type Point, type Side, Source } from "@kreplica/hw-x86";
import { e52690v3, tiny2Node } from "@kreplica/machines";
import { describe, expect, test } from "vitest";
import { bound, gain } from "../src/measure/gain.js";

const layout = new CounterLayout(2);
const KERNEL = 1;

/** A run of instructions and of kernel text fetched from the memory of one node. */
function run(instructions: number, lines: number, node: number): Float64Array {
  const counters = new Float64Array(layout.length);
  counters[layout.place(KERNEL, Place.Instructions)] = instructions;
  counters[layout.row(KERNEL, Kind.Fetch) + Source.Memory + node] = lines;
  return counters;
}
/** CPU and copy on node 1, image on node 0. */
const AWAY = { nodeIndex: 1, far: 0, near: 1 };
const [far, near] = [run(100_000, 1000, 0), run(100_000, 1000, 1)];
/** Nothing uncertain but the clock. */
const clocked: MachineSpec = {
  ...tiny2Node,
  hertz: { value: 1e9, low: 0.5e9, high: 2e9, source: "x" },
  costs: {
    ...tiny2Node.costs,
    cyclesPerInstruction: { value: 1, source: "x" },
    fetchExposure: { value: 1, source: "x" },
  },
};
const hit = tiny2Node.l1i.cycles.value;
/** Percent of 100,000 cycles and 1000 far lines that nearer lines save, at so many cycles a nanosecond. */
const saved = (perNs: number): number => (100 * 1000 * 100 * perNs) / (100_000 + 1000 * (200 * perNs - hit));

describe("the clock", () => {
  test("is one of the parameters of the interval: far lines weigh more at its high end", () => {
    const of = gain(far, near, clocked, 1);
    expect(of.percent).toBeCloseTo(saved(1), 3);
    expect([of.low, of.high]).toEqual([expect.closeTo(saved(0.5), 3), expect.closeTo(saved(2), 3)]);
  });

  test("is one of the bound's: the end that gives more, and one for both kernels", () => {
    expect(bound(far, clocked, AWAY)).toBeCloseTo(saved(2), 3);
    expect(bound(far, { ...clocked, hertz: { value: 1e9, source: "x" } }, AWAY)).toBeCloseTo(saved(1), 3);
    // No instructions: what an L1 hit would have cost is then all that is not the line's, and weighs most at the low
    // end.
    const bare = (perNs: number): number => (100 * 100 * perNs) / (200 * perNs - hit);
    expect(bound(run(0, 1000, 0), clocked, AWAY)).toBeCloseTo(bare(0.5), 3);
  });
});

test("the interval is that of all corners, each asked of the account", () => {
  const names = [
    "clock",
    "latency",
    "caches",
    "cacheToCache",
    "cyclesPerInstruction",
    "fetchExposure",
    "loadExposure",
    "storeExposure",
    "walkExposure",
    "prefetchHidden",
    "interrupt",
  ] as const;
  const events = (seed: number): Float64Array =>
    new Float64Array(layout.length).map((_, at) => (at * 7919 + seed) % 97);
  const [single, perNode] = [events(1), events(5)];
  const gains = Array.from({ length: 2 ** names.length }, (_, corner) => {
    const point: Point = Object.fromEntries(
      names.map((name, bit): [string, Side] => [name, corner & (1 << bit) ? "high" : "low"]),
    );
    const [one, other] = [single, perNode].map((counters) => account(counters, e52690v3, 1, point).cycles);
    return ((one! - other!) / one!) * 100;
  });
  const of = gain(single, perNode, e52690v3, 1);
  expect([of.low, of.high]).toEqual([Math.min(...gains), Math.max(...gains)]);
});
