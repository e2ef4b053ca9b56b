/** What near instead of far text gains, and the most it could, by hand on a machine whose every number is round. */
import { CounterLayout, Kind, type MachineSpec, Place, type Sourced, Source } from "@kreplica/hw-x86";
import { tiny2Node } from "@kreplica/machines";
import { describe, expect, test } from "vitest";
import { bound, boundBeyondL2, gain, nearGain } from "../src/measure/gain.js";
import { MeanGain } from "../src/measure/mean-gain.js";
import { Region } from "../src/replay/program.js";

const layout = new CounterLayout(2);
/** CPU and copy on node 1, image on node 0: memory is 200 cycles away, and 100. */
const AWAY = { nodeIndex: 1, far: 0, near: 1 };
/** Cycles of an L1 hit, of L2 and of L3; a fetch waits for what is beyond the hit. */
const [L1, L2, L3] = [4, 10, 40];

type Event = readonly [region: Region, kind: Kind, source: number, count: number];

/** A run of so many instructions and these references, on a machine of so many nodes. */
function run(instructions: number, events: readonly Event[], on = layout): Float64Array {
  const counters = new Float64Array(on.length);
  counters[on.place(Region.Kernel, Place.Instructions)] = instructions;
  for (const [region, kind, source, count] of events) counters[on.row(region, kind) + source]! += count;
  return counters;
}
/** 100,000 instructions and so many fetches of kernel text from the far and the near memory. */
const fetched = (far: number, near: number): Float64Array =>
  run(100_000, [
    [Region.Kernel, Kind.Fetch, Source.Memory, far],
    [Region.Kernel, Kind.Fetch, Source.Memory + 1, near],
  ]);
const made = (value: number, low = value, high = value): Sourced => ({ value, low, high, source: "made" });
const costing = (costs: Partial<MachineSpec["costs"]>, more: Partial<MachineSpec> = {}): MachineSpec => ({
  ...tiny2Node,
  ...more,
  costs: { ...tiny2Node.costs, ...costs },
});
/** Cycles of 100,000 instructions and 1000 lines from far. */
const CYCLES = 100_000 + 1000 * (200 - L1);

describe("near instead of far text", () => {
  test("is what the lines cost more from far, before less afterwards, in percent of the cycles before", () => {
    const of = (single: Float64Array, perNode: Float64Array) => nearGain(single, perNode, tiny2Node, AWAY);
    expect(of(fetched(1000, 0), fetched(0, 1000))).toBeCloseTo((100 * 1000 * 100) / CYCLES, 9);
    expect(of(fetched(1000, 0), fetched(250, 750))).toBeCloseTo((100 * 750 * 100) / CYCLES, 9);
    expect(of(fetched(1000, 0), fetched(1500, 0))).toBeCloseTo((-100 * 500 * 100) / CYCLES, 9);
    expect(of(fetched(1000, 0), fetched(1000, 0))).toBe(0);
    expect(of(run(0, []), fetched(1000, 0))).toBe(0);
  });

  test("counts kernel text, rodata and the walker's reads, whoever asks, and nothing else", () => {
    for (const region of [Region.User, Region.Kernel, Region.Rodata, Region.Module, Region.Replication])
      for (const kind of [Kind.Fetch, Kind.PrefetchedFetch, Kind.Load, Kind.Store, Kind.Walk, Kind.Prefetch]) {
        const from = (node: number) => run(100_000, [[region, kind, Source.Memory + node, 1000]]);
        const text = region === Region.Kernel && (kind === Kind.Fetch || kind === Kind.PrefetchedFetch);
        const rodata = region === Region.Rodata && (kind === Kind.Load || kind === Kind.Store);
        const walks = kind === Kind.Walk && region !== Region.Replication;
        const of = nearGain(from(0), from(1), costing({ prefetchHiddenCycles: made(0) }), AWAY);
        const wanted = text || rodata || walks ? 1e7 / (kind === Kind.Walk ? CYCLES + 1000 * L1 : CYCLES) : 0;
        expect(of, `region ${region}, kind ${kind}`).toBeCloseTo(wanted, 9);
      }
  });

  test("is of the image's node alone: what comes from a third is as far as it was", () => {
    const three = new CounterLayout(3);
    const [first, second] = tiny2Node.nodes;
    const spec: MachineSpec = {
      ...tiny2Node,
      nodes: [first!, second!, { id: 2, memoryBytes: first!.memoryBytes, startAddress: 0x4000_0000 }],
      latencyNs: [
        [100, 200, 400],
        [200, 100, 400],
        [400, 400, 100],
      ],
    };
    const from = (node: number) => run(100_000, [[Region.Kernel, Kind.Fetch, Source.Memory + node, 1000]], three);
    expect(nearGain(from(2), from(1), spec, AWAY)).toBe(0);
    expect(nearGain(from(0), from(2), spec, AWAY)).toBeCloseTo(1e7 / CYCLES, 9);
  });

  test("prices what is left afterwards on the machine as the second kernel finds it, and all where the point stands", () => {
    const farther: MachineSpec = { ...tiny2Node, latencyNs: tiny2Node.latencyNs.map(([a, b]) => [a! * 2, b! * 2]) };
    expect(nearGain(fetched(1000, 0), fetched(250, 750), tiny2Node, AWAY, {}, farther)).toBeCloseTo(
      (100 * (1000 * 100 - 250 * 200)) / CYCLES,
      9,
    );
    const clocked: MachineSpec = { ...tiny2Node, hertz: made(1e9, 1e9, 2e9) };
    expect(nearGain(fetched(1000, 0), fetched(0, 1000), clocked, AWAY, { clock: "high" })).toBeCloseTo(
      (100 * 1000 * 200) / (CYCLES + 1000 * 200),
      9,
    );
  });
});

describe("the most it could be", () => {
  const l2 = [Region.Kernel, Kind.Fetch, Source.L2, 1000] as const;
  const l3 = [Region.Kernel, Kind.Fetch, Source.OwnL3, 500] as const;
  const memory = [Region.Kernel, Kind.Fetch, Source.Memory, 200] as const;
  const saved = (lines: number, rest: number): number => (100 * lines * 100) / (rest + lines * (200 - L1));

  test("is nothing where the image's node is no farther than the copy's", () => {
    const counters = run(1000, [l2, l3, memory]);
    for (const of of [bound, boundBeyondL2]) {
      expect(of(counters, tiny2Node, { nodeIndex: 1, far: 1, near: 1 })).toBe(0);
      expect(of(counters, tiny2Node, { nodeIndex: 0, far: 0, near: 1 })).toBe(0);
      expect(of(counters, tiny2Node, AWAY)).toBeGreaterThan(0);
      expect(of(run(0, []), tiny2Node, AWAY)).toBe(0);
    }
  });

  test("takes every line that L1 did not answer to memory, and beyond L2 every line that L2 did not", () => {
    const counters = run(100_000, [l2, l3, memory]);
    expect(bound(counters, tiny2Node, AWAY)).toBeCloseTo(saved(1700, 100_000), 9);
    expect(boundBeyondL2(counters, tiny2Node, AWAY)).toBeCloseTo(saved(700, 100_000 + 1000 * (L2 - L1)), 9);
  });

  test("takes rodata and the walker's reads there as well, and leaves all else as it is", () => {
    const others: readonly Event[] = [
      [Region.Kernel, Kind.Load, Source.OwnL3, 300],
      [Region.User, Kind.Fetch, Source.Memory, 40],
      [Region.Module, Kind.Store, Source.OwnL3, 60],
    ];
    const rest = 100_000 + 360 * (L3 - L1) + 40 * (200 - L1);
    for (const [region, kind] of [
      [Region.Rodata, Kind.Load],
      [Region.Rodata, Kind.Store],
      [Region.User, Kind.Walk],
      [Region.Kernel, Kind.Walk],
    ] as const) {
      const counters = run(100_000, [
        ...others,
        [region, kind, Source.L1, 80],
        [region, kind, Source.L2, 1000],
        [region, kind, Source.OwnL3, 500],
      ]);
      // What L2 and L1 answered to the walker stays beyond L2; below it, its hits in L1 are too few to be told apart.
      const kept = 1000 * (kind === Kind.Walk ? L2 : L2 - L1) + (kind === Kind.Walk ? 80 * L1 : 0);
      expect(bound(counters, tiny2Node, AWAY), `region ${region}`).toBeCloseTo(saved(1500, rest), 9);
      expect(boundBeyondL2(counters, tiny2Node, AWAY), `region ${region}`).toBeCloseTo(saved(500, rest + kept), 9);
    }
  });

  test("has a prefetched line cost what no prefetch hides, and at least what it saves, and saves all of it", () => {
    const ahead = (count: number) => run(100_000, [[Region.Kernel, Kind.PrefetchedFetch, Source.Memory, count]]);
    for (const [hidden, paid] of [
      [0, 200 - L1],
      [50, 150 - L1],
      [150, 100],
      [1000, 100],
    ] as const) {
      const spec = costing({ prefetchHiddenCycles: made(0, 0, hidden) });
      expect(bound(ahead(1000), spec, AWAY), `${hidden} hidden`).toBeCloseTo(1e7 / (100_000 + 1000 * paid), 9);
    }
    const both = run(100_000, [
      [Region.Kernel, Kind.PrefetchedFetch, Source.Memory, 1000],
      [Region.Kernel, Kind.Fetch, Source.Memory, 1000],
    ]);
    expect(bound(both, costing({ prefetchHiddenCycles: made(0, 0, 50) }), AWAY)).toBeCloseTo(
      2e7 / (100_000 + 1000 * (150 - L1) + 1000 * (200 - L1)),
      9,
    );
    // Half of a fetch's latency waited for, half of what is hidden seen: the line itself costs as much as before.
    expect(
      bound(ahead(1000), costing({ prefetchHiddenCycles: made(0, 0, 50), fetchExposure: made(0.5) }), AWAY),
    ).toBeCloseTo(1e7 / (100_000 + 1000 * (150 - L1)), 9);
    const exposed = costing({ prefetchHiddenCycles: made(0, 0, 50), fetchExposure: made(0.5, 0.25, 1) });
    expect(bound(ahead(1000), exposed, AWAY)).toBeCloseTo(1e7 / (100_000 + 1000 * (150 - L1)), 9);
    // The other way round: the image on node 1, the CPU on node 0.
    expect(
      bound(ahead(1000), costing({ prefetchHiddenCycles: made(0, 0, 50) }), { nodeIndex: 0, far: 1, near: 0 }),
    ).toBeCloseTo(1e7 / (100_000 + 1000 * (150 - L1)), 9);
    // Nothing is waited for: nothing is hidden either.
    expect(
      bound(ahead(1000), costing({ prefetchHiddenCycles: made(0, 0, 50), fetchExposure: made(0) }), AWAY),
    ).toBeCloseTo(1e7 / (100_000 + 1000 * (200 - L1)), 9);
  });

  test("has all else as cheap as its range allows, and clock and latency at the end that gives more", () => {
    const counters = run(100_000, [l2, l3, memory, [Region.Kernel, Kind.Load, Source.OwnL3, 300]]);
    const cheap = costing({ cyclesPerInstruction: made(1, 0.5, 2), loadExposure: made(1, 0.25, 2) });
    expect(bound(counters, cheap, AWAY)).toBeCloseTo(saved(1700, 50_000 + (300 * (L3 - L1)) / 4), 9);
    // Twice the lines' cost beside the same instructions.
    const spread: MachineSpec = { ...tiny2Node, latencySpread: 0.5 };
    const at = (rest: number, perNs: number): number => (1e4 * 1700 * perNs) / (rest + 1700 * (200 * perNs - L1));
    const rest = 100_000 + 300 * (L3 - L1);
    expect(bound(counters, spread, AWAY)).toBeCloseTo(at(rest, 1.5), 9);
    // Where there is nothing beside the lines, what an L1 hit would have cost weighs most at the low end.
    const bare = run(0, [memory]);
    expect(bound(bare, spread, AWAY)).toBeCloseTo((1e4 * 0.5) / (100 - L1), 9);
    // What prefetches of other code hide is hidden.
    const others = run(100_000, [memory, [Region.User, Kind.PrefetchedFetch, Source.Memory, 100]]);
    expect(bound(others, costing({ prefetchHiddenCycles: made(0, 0, 50) }), AWAY)).toBeCloseTo(
      saved(200, 100_000 + 100 * (150 - L1)),
      9,
    );
    // And a dear L1 hides more of a line.
    const l1 = { ...tiny2Node.l1i, cycles: made(4, 2, 20) };
    expect(bound(bare, { ...tiny2Node, l1i: l1 }, AWAY)).toBeCloseTo(1e4 / (200 - 20), 9);
    const l1d = { ...tiny2Node.l1d, cycles: made(4, 2, 30) };
    expect(bound(bare, { ...tiny2Node, l1i: l1, l1d }, AWAY)).toBeCloseTo(1e4 / (200 - 30), 9);
  });
});

test("a machine's gain is its nodes' weighed together, with least and most at one corner for all of them", () => {
  const spec = costing({ cyclesPerInstruction: made(1, 0.5, 4), fetchExposure: made(1, 0.5, 1) });
  const sides = { single: spec, perNode: spec };
  const counts = { single: fetched(1000, 0), perNode: fetched(0, 1000) };
  /** The other way round: it loses. */
  const turned = { single: fetched(0, 1000), perNode: fetched(1000, 0) };
  const alone = gain(counts.single, counts.perNode, spec, 1);
  const near = nearGain(counts.single, counts.perNode, spec, AWAY);

  const one = new MeanGain();
  expect(one.add(1, counts, sides, AWAY)).toEqual({ gain: alone, near, singleCycles: CYCLES });
  expect([one.gain, one.near]).toEqual([alone, near]);

  const two = new MeanGain();
  two.add(0.75, counts, sides, AWAY);
  const loss = two.add(0.25, turned, sides, AWAY);
  expect(loss.gain).toEqual(gain(turned.single, turned.perNode, spec, 1));
  expect(two.gain.percent).toBeCloseTo(0.75 * alone.percent + 0.25 * loss.gain.percent, 9);
  expect(two.near).toBeCloseTo(0.75 * near + 0.25 * loss.near, 9);
  // Corner by corner: gain and loss are largest at the same, so that the limits are no sum of all the worst.
  const worst = 0.75 * alone.low + 0.25 * loss.gain.low;
  expect(two.gain.low).toBeGreaterThan(worst);
  expect(two.gain.low).toBeCloseTo(0.75 * alone.low + 0.25 * loss.gain.high, 9);

  // The machine as the second kernel finds it.
  const other = { single: spec, perNode: costing({ cyclesPerInstruction: made(0.5) }) };
  const quicker = new MeanGain();
  quicker.add(1, counts, other, AWAY);
  expect(quicker.gain.percent).toBeCloseTo((100 * (CYCLES - 50_000 - 1000 * (100 - L1))) / CYCLES, 9);
});
