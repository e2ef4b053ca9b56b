/** The cycle account: each event's price by hand, parts that add up exactly, and ends of ranges. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CounterLayout,
  Event,
  Kind,
  PARTS,
  Part,
  Place,
  REGIONS,
  Source,
  account,
  difference,
  eventPrices,
  eventTotals,
  type Point,
} from "../src/index.js";
import { tinyMachine } from "../src/testing.js";

/** 1 GHz: a nanosecond is a cycle. L1 4, L2 12, L3 40, memory 100 local 200 remote, other caches 60 and 150. */
const spec = tinyMachine();
const layout = new CounterLayout(2);

/** Price of one event on node index 0. */
function price(set: (counters: Float64Array) => void, point: Point = {}): number {
  const counters = new Float64Array(layout.length);
  set(counters);
  return account(counters, spec, 0, point).cycles;
}
const one =
  (kind: Kind, source: number) =>
  (counters: Float64Array): void => {
    counters[layout.row(0, kind) + source] = 1;
  };

describe("prices", () => {
  test.each<[string, Kind, number, number]>([
    ["fetch from L1", Kind.Fetch, Source.L1, 0],
    ["fetch from L2", Kind.Fetch, Source.L2, (12 - 4) * 0.75],
    ["fetch from L3", Kind.Fetch, Source.OwnL3, (40 - 4) * 0.75],
    ["fetch from a sibling", Kind.Fetch, Source.Sibling, (60 - 4) * 0.75],
    ["fetch from local memory", Kind.Fetch, Source.Memory, (100 - 4) * 0.75],
    ["fetch from remote memory", Kind.Fetch, Source.Memory + 1, (200 - 4) * 0.75],
    [
      "fetch, clean in the other socket, home remote: the cache is nearer",
      Kind.Fetch,
      layout.cleanOtherSocket + 1,
      (150 - 4) * 0.75,
    ],
    [
      "fetch, clean in the other socket, home local: memory is nearer",
      Kind.Fetch,
      layout.cleanOtherSocket,
      (100 - 4) * 0.75,
    ],
    ["fetch, clean in the same socket", Kind.Fetch, layout.cleanSameSocket + 1, (60 - 4) * 0.75],
    [
      "prefetched from remote memory: 16 instructions' time is over",
      Kind.PrefetchedFetch,
      Source.Memory + 1,
      (200 - 4 - 8) * 0.75,
    ],
    ["prefetched from L2: over before it is wanted", Kind.PrefetchedFetch, Source.L2, 0],
    ["load from L2", Kind.Load, Source.L2, 8 * 0.5],
    ["load, modified in the other socket", Kind.Load, Source.DirtyOtherSocket, 146 * 0.5],
    ["store to remote memory", Kind.Store, Source.Memory + 1, 196 * 0.125],
    ["store that takes the line from the other socket", Kind.Store, Source.UpgradeOtherSocket, 146 * 0.125],
    ["walk in L1", Kind.Walk, Source.L1, 4 * 0.75],
    ["walk in remote memory", Kind.Walk, Source.Memory + 1, 200 * 0.75],
    ["a line prefetched", Kind.Prefetch, Source.Memory + 1, 0],
  ])("%s", (_, kind, source, cycles) => {
    // Weights are whole 1/1024 cycles.
    expect(price(one(kind, source))).toBeCloseTo(cycles, 2);
  });

  test("a core behind the same L3 has a price of its own, another L3 of the socket keeps the socket's", () => {
    const near = { ...spec, cacheToCacheNs: { ...spec.cacheToCacheNs, sameL3: { value: 20, high: 24, source: "x" } } };
    const cycles = (source: number, point: Point = {}): number => {
      const counters = new Float64Array(layout.length);
      one(Kind.Load, source)(counters);
      return account(counters, near, 0, point).cycles;
    };
    expect([Source.Sibling, Source.UpgradeSibling].map((source) => cycles(source))).toEqual([8, 8]);
    expect(cycles(Source.Sibling, { cacheToCache: "high" })).toBe(10);
    expect(
      [Source.DirtySameSocket, Source.UpgradeSameSocket, layout.cleanSameSocket + 1].map((source) => cycles(source)),
    ).toEqual([28, 28, 28]);
  });

  test("instructions, second-level TLB, interrupts", () => {
    expect(
      price((counters) => {
        counters[layout.place(3, Place.Instructions)] = 7;
      }),
    ).toBe(3.5);
    expect(
      price((counters) => {
        counters[layout.place(0, Place.FetchSecondTlb)] = 1;
      }),
    ).toBe(6);
    expect(
      price((counters) => {
        counters[layout.place(0, Place.DataSecondTlb)] = 1;
      }),
    ).toBe(6);
    expect(
      price((counters) => {
        counters[layout.event(Event.InterruptsSent)] = 2;
        counters[layout.event(Event.InterruptsTaken)] = 1;
      }),
    ).toBe(3000);
  });

  test("a CPU on the other node has local and remote the other way round", () => {
    const counters = new Float64Array(layout.length);
    one(Kind.Fetch, Source.Memory)(counters);
    const { parts } = account(counters, spec, 1);
    expect([parts[Part.FetchLocal], parts[Part.FetchRemote]]).toEqual([0, 147]);
  });
});

describe("ends of ranges", () => {
  test("a faster clock makes nanoseconds more cycles, and leaves cycles alone", () => {
    const ranged = { ...spec, hertz: { value: 1e9, low: 0.5e9, high: 2e9, source: "x" } };
    const cycles = (kind: Kind, source: number, clock: "low" | "high"): number => {
      const counters = new Float64Array(layout.length);
      one(kind, source)(counters);
      return account(counters, ranged, 0, { clock }).cycles;
    };
    expect(cycles(Kind.Fetch, Source.Memory + 1, "high")).toBe((400 - 4) * 0.75);
    expect(cycles(Kind.Load, Source.DirtyOtherSocket, "low")).toBe((75 - 4) * 0.5);
    expect(cycles(Kind.Load, Source.Sibling, "high")).toBe((120 - 4) * 0.5);
    for (const clock of ["low", "high"] as const) expect(cycles(Kind.Load, Source.OwnL3, clock)).toBe((40 - 4) * 0.5);
  });

  test.each<[string, Point, Kind, number, number]>([
    ["latency low", { latency: "low" }, Kind.Fetch, Source.Memory + 1, (180 - 4) * 0.75],
    ["latency high", { latency: "high" }, Kind.Walk, Source.Memory, 110 * 0.75],
    ["fetch exposure", { fetchExposure: "low" }, Kind.Fetch, Source.L2, 4],
    ["load exposure", { loadExposure: "high" }, Kind.Load, Source.L2, 8],
    ["store exposure", { storeExposure: "low" }, Kind.Store, Source.L2, 0],
    ["walk exposure", { walkExposure: "high" }, Kind.Walk, Source.L1, 4],
    ["prefetch hides nothing", { prefetchHidden: "low" }, Kind.PrefetchedFetch, Source.OwnL3, 27],
    ["another parameter", { loadExposure: "low" }, Kind.Fetch, Source.L2, 6],
  ])("%s", (_, point, kind, source, cycles) => expect(price(one(kind, source), point)).toBeCloseTo(cycles, 2));
});

test("parts add up to the total exactly, whatever the counts, and so do the parts of two halves of a run", () => {
  const counts = fc.array(fc.tuple(fc.nat(layout.length - 1), fc.nat(2 ** 31)), { maxLength: 200, size: "max" });
  fc.assert(
    fc.property(counts, counts, (first, second) => {
      const early = new Float64Array(layout.length);
      for (const [at, count] of first) early[at] = count;
      const late = early.slice();
      for (const [at, count] of second) late[at] = late[at]! + count;
      const whole = account(late, spec, 0);
      expect(whole.parts).toHaveLength(REGIONS * PARTS);
      // What an interval is computed from, without parts.
      const [prices, totals] = [eventPrices(spec, 0), eventTotals(late, 2)];
      expect(totals.reduce((sum, count, event) => sum + count * prices[event]!, 0)).toBe(whole.cycles);
      // Backwards, so that an inexact sum would show.
      expect([...whole.parts].reverse().reduce((sum, part) => sum + part, 0)).toBe(whole.cycles);
      const halves = [account(early, spec, 0), account(difference(early, late), spec, 0)];
      whole.parts.forEach((part, index) => expect(halves[0]!.parts[index]! + halves[1]!.parts[index]!).toBe(part));
      expect(halves[0]!.cycles + halves[1]!.cycles).toBe(whole.cycles);
    }),
  );
});

test("counters of different meaning never share an index", () => {
  for (const nodes of [1, 2, 64]) {
    const each = new CounterLayout(nodes);
    const used = new Set<number>();
    for (let region = 0; region < REGIONS; region++) {
      for (let kind = 0; kind < 6; kind++)
        for (let source = 0; source < each.sources; source++) used.add(each.row(region, kind) + source);
      for (let place = 0; place < 5; place++) used.add(each.place(region, place));
    }
    for (let event = 0; event < 3; event++) used.add(each.event(event));
    for (let node = 0; node < nodes; node++) used.add(each.writeBacks(node));
    expect([used.size, Math.min(...used), Math.max(...used)]).toEqual([each.length, 0, each.length - 1]);
  }
});
