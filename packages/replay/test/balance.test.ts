/** Bytes over links and controllers by hand, and the balance of a run's cycles with how busy they are. */
import { account, CounterLayout, Kind, Place, Source } from "@kreplica/hw-x86";
import { preset, timesIdle, tiny2Node } from "@kreplica/machines";
import { describe, expect, test } from "vitest";
import { balance, type User } from "../src/measure/balance.js";
import { Interconnect } from "../src/measure/interconnect.js";

const KERNEL = 1;
const layout = new CounterLayout(2);
const paths = new Interconnect(tiny2Node);
const none = new Float64Array(paths.resources.length);

function run(instructions: number, lines: number, node: number): Float64Array {
  const counters = new Float64Array(layout.length);
  counters[layout.place(KERNEL, Place.Instructions)] = instructions;
  counters[layout.row(KERNEL, Kind.Fetch) + Source.Memory + node] = lines;
  return counters;
}

describe("bytes", () => {
  const bytes = (change: (counters: Float64Array) => void): Record<string, number> => {
    const counters = new Float64Array(layout.length);
    change(counters);
    return Object.fromEntries(
      Array.from(paths.bytes(counters, 1), (each, nth): [string, number] => {
        const resource = paths.resources[nth]!;
        return [resource.kind === "memory" ? `memory ${resource.node}` : `${resource.from}>${resource.to}`, each];
      }).filter(([, each]) => each > 0),
    );
  };
  const at = (kind: Kind, source: number): number => layout.row(KERNEL, kind) + source;

  test("of a far line go through its controller and over the link towards the reader, of a near one over none", () => {
    expect(bytes((counters) => (counters[at(Kind.Fetch, Source.Memory)] = 3))).toEqual({ "memory 0": 192, "0>1": 192 });
    expect(bytes((counters) => (counters[at(Kind.Walk, Source.Memory + 1)] = 2))).toEqual({ "memory 1": 128 });
  });
  test("of what is written back go the other way; a line from another socket's cache asks no memory", () => {
    expect(bytes((counters) => (counters[layout.writeBacks(0)] = 1))).toEqual({ "memory 0": 64, "1>0": 64 });
    expect(bytes((counters) => (counters[at(Kind.Load, Source.DirtyOtherSocket)] = 1))).toEqual({ "0>1": 64 });
    expect(bytes((counters) => (counters[at(Kind.Load, layout.cleanOtherSocket + 1)] = 1))).toEqual({ "0>1": 64 });
  });
  test("of a prefetched line are counted once, when it is brought; an upgrade moves none", () => {
    expect(bytes((counters) => (counters[at(Kind.PrefetchedFetch, Source.Memory)] = 1))).toEqual({});
    expect(bytes((counters) => (counters[at(Kind.Prefetch, Source.Memory)] = 1))).toEqual({
      "memory 0": 64,
      "0>1": 64,
    });
    expect(bytes((counters) => (counters[at(Kind.Store, Source.UpgradeOtherSocket)] = 1))).toEqual({});
  });

  test("nodes of a socket share its links; peaks are the machine's bandwidths", () => {
    const eight = new Interconnect(preset("xeon-8260-8s")!);
    expect(eight.resources.filter(({ kind }) => kind === "link")).toHaveLength(8 * 7);
    expect(eight.link(0, 2)).toBe(eight.link(1, 3));
    expect(eight.link(0, 1)).toBe(-1);
    expect(eight.resources[eight.link(0, 2)]!.peakMBs).toBe(50_514);
    expect(eight.resources[eight.memoryOf[5]!]!.peakMBs).toBe(59_066);
  });
});

describe("the balance", () => {
  const busy = tiny2Node;
  const user = (cpus: number, counters = run(1000, 1000, 0)): User => ({ node: 1, cpus, counters });

  test("of an idle machine is the machine itself", () => {
    const { spec, utilisation } = balance(busy, paths, [], none);
    expect(spec).toBe(busy);
    expect(Array.from(utilisation)).toEqual([0, 0, 0, 0]);
  });

  test("of a background alone is the curve: near memory waits for its controller, far memory for both", () => {
    const { spec } = balance(
      busy,
      paths,
      [],
      none.map(() => 0.6),
    );
    const more = timesIdle(undefined, 0.6) - 1;
    expect(spec.latencyNs[1]![1]).toBeCloseTo(100 * (1 + more), 9);
    expect(spec.latencyNs[1]![0]).toBeCloseTo(200 * (1 + more) + 100 * more, 9);
    expect(spec.cacheToCacheNs.otherSocket.value).toBeCloseTo(150 * (1 + more), 9);
    expect(spec.cacheToCacheNs.sameSocket.value).toBe(60);
  });

  test.each([1, 4, 16, 64, 1000])("of %i users agrees with their cycles: what is used is what is asked for", (cpus) => {
    const background = none.map(() => 0.3);
    const { spec, utilisation, settled } = balance(busy, paths, [user(cpus)], background);
    expect(settled).toBe(true);
    const bytes = paths.bytes(user(1).counters, 1);
    const seconds = account(user(1).counters, spec, 1).cycles / spec.hertz.value;
    for (const [nth, { peakMBs }] of paths.resources.entries()) {
      const asked = 0.3 + (cpus * bytes[nth]!) / seconds / 1e6 / peakMBs;
      expect(utilisation[nth]).toBeCloseTo(asked, 4);
    }
  });

  test("serves no more than the peak: in a closed loop latency is what Little's law says", () => {
    // Each has one line outstanding and does nothing else, as the tool's threads do.
    const { spec, utilisation } = balance(busy, paths, [user(200, run(0, 1e6, 1))], none);
    const controller = paths.memoryOf[1]!;
    expect(utilisation[controller]).toBeGreaterThan(0.99);
    expect(utilisation[controller]).toBeLessThan(1.05);
    const little = (200 * 64) / (paths.resources[controller]!.peakMBs * 1e6) / 1e-9;
    expect(spec.latencyNs[1]![1]! / little).toBeCloseTo(1, 1);
  });

  test("is the same whatever was balanced before, and busier with every user", () => {
    const once = balance(busy, paths, [user(16), { ...user(4), node: 0 }], none);
    expect(balance(busy, paths, [user(16), { ...user(4), node: 0 }], none)).toEqual(once);
    const shares = [1, 2, 8, 32].map((cpus) => balance(busy, paths, [user(cpus)], none).utilisation[paths.link(0, 1)]!);
    expect([...shares].sort((a, b) => a - b)).toEqual(shares);
    expect(new Set(shares).size).toBe(4);
  });
});
