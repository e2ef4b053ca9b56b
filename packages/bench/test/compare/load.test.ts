/// <reference types="node" />
/** A busy machine: bytes over links and controllers by hand, the balance of cycles and use, and a comparison on it. */
import { account, CounterLayout, Kind, type MachineSpec, Place, Source } from "@kreplica/hw-x86";
import { e52690v3, preset, timesIdle, tiny2Node } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { beforeAll, describe, expect, test } from "vitest";
import { readLoad } from "../../src/commands/load-option.js";
import { balance, type User } from "../../src/measure/balance.js";
import { compare, type CompareResult } from "../../src/measure/compare.js";
import { Interconnect } from "../../src/measure/interconnect.js";
import { measureTrace, type TraceMeasurement } from "../../src/measure/measure-trace.js";
import { loadDocument } from "../../src/report/documents/compare-load.js";
import { compareText } from "../../src/report/compare.js";

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
    expect(bytes((counters) => (counters[at(Kind.Prefetch, Source.Memory)] = 1))).toEqual({ "memory 0": 64, "0>1": 64 });
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
  const busy: MachineSpec = tiny2Node;
  const user = (cpus: number, counters = run(1000, 1000, 0)): User => ({ node: 1, cpus, counters });

  test("of an idle machine is the machine itself", () => {
    const { spec, utilisation } = balance(busy, paths, [], none);
    expect(spec).toBe(busy);
    expect(Array.from(utilisation)).toEqual([0, 0, 0, 0]);
  });

  test("of a background alone is the curve: near memory waits for its controller, far memory for both", () => {
    const { spec } = balance(busy, paths, [], none.map(() => 0.6));
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

describe("a comparison", () => {
  const where = { cpu: 12, masterNode: 0, dataNode: 1 };
  const file = dataFile("traces/hsw-kill.kt.zst");
  let measured: TraceMeasurement[];
  const compared = (load?: string, all = true): Promise<CompareResult> =>
    compare(
      { spec: e52690v3, where, pti: true, levels: 4, seed: 1 },
      {
        policy: "per-node",
        files: [file],
        wholeMachine: all,
        ...(load === undefined ? {} : { load: readLoad({ load }, e52690v3)! }),
      },
      (jobs) => Promise.resolve(jobs.map((job) => (measured ??= measureTrace(job)))),
    );
  let [idle, busy] = [] as unknown as CompareResult[];
  beforeAll(async () => {
    idle = await compared();
    busy = await compared("link=0.7,cpus=12");
  }, 120_000);
  const cold = (of: CompareResult) => of.tests.find(({ cache }) => cache === "cold")!;
  const screen = {
    columns: 100,
    bold: (text: string) => text,
    dim: (text: string) => text,
    good: (text: string) => text,
    bad: (text: string) => text,
    warn: (text: string) => text,
  };

  test("on an idle machine says so and has no load", () => {
    expect(idle!.loaded).toBeUndefined();
    expect(loadDocument(idle!)).toBeNull();
    expect(compareText(idle!, screen).replace(/\s+/g, " ")).toContain("Idle machine; --load to change.");
    expect(compareText(busy!, screen)).not.toContain("Idle machine");
  });

  test("gains more where the link is busy; counts stay, parts add up, no gain of near text is above its bound", async () => {
    const [one, other] = [cold(idle!), cold(busy!)];
    expect(other.gain.percent).toBeGreaterThan(one.gain.percent + 3);
    expect(other.singleCopy.lines).toEqual(one.singleCopy.lines);
    expect(other.singleCopy.account.instructions).toBe(one.singleCopy.account.instructions);
    expect(other.singleCopy.account.text.remote).toBeGreaterThan(one.singleCopy.account.text.remote);
    expect(other.gain.low).toBeLessThanOrEqual(other.gain.percent);
    expect(other.near).toBeLessThanOrEqual(other.bound);
    const alone = cold(await compared("link=0.7", false));
    expect(alone.gain.percent).toBeGreaterThan(one.gain.percent + 3);
  });

  test("credits what copies take off the link to whoever shares it", () => {
    const { resources, tests } = busy!.loaded!;
    const { single, perNode } = tests.find(({ cache }) => cache === "cold")!;
    const link = resources.findIndex((each) => each.kind === "link" && each.from === 0);
    expect(single.utilisation[link]).toBeGreaterThan(perNode.utilisation[link]! + 0.01);
    expect(perNode.spec.latencyNs[1]![0]).toBeLessThan(single.spec.latencyNs[1]![0]! - 1);
    // Data of node 1 that lie on node 0 come over the same link.
    const document = loadDocument(busy!)!;
    expect(document.tests.map(({ settled }) => settled)).toEqual([true, true]);
    expect(document.resources[link]).toEqual({ kind: "link", from: 0, to: 1, peakMBs: 30_265, background: 0.7 });
    expect(document.tests[1]!.singleCopy[link]).toBeGreaterThan(0.7);
  });

  test("has every node on the same busy machine", () => {
    const own = busy!.machine!.nodes[1]!.tests.find(({ cache }) => cache === "cold")!;
    expect(own.gain).toEqual(cold(busy!).gain);
    expect(busy!.machine!.gain.cold.percent).toBeGreaterThan(idle!.machine!.gain.cold.percent);
  });
});

describe("--load", () => {
  const share = (text: string): number[] => Array.from(readLoad({ load: text }, tiny2Node)!.background);
  test("names all, a kind, a link both ways, a controller; later parts refine earlier ones", () => {
    expect(share("0.6")).toEqual([0.6, 0.6, 0.6, 0.6]);
    expect(share("memory=0.5")).toEqual([0.5, 0.5, 0, 0]);
    expect(share("0.1, link:1-0=0.7,memory:1=0.2")).toEqual([0.1, 0.2, 0.7, 0.7]);
    expect(readLoad({ load: "cpus=all" }, e52690v3)).toMatchObject({ cpusPerNode: 24 });
    expect(readLoad({}, e52690v3)).toBeUndefined();
  });
  test.each([
    ["", /"" is not understood/],
    ["fast", /"fast" in "fast" is not a share from 0 to 0\.95/],
    ["0.96", /not a share/],
    ["-1", /not a share/],
    ["bus=0.5", /"bus=0\.5" in "bus=0\.5" is not a share/],
    ["link:0-7=0.5", /tiny-2-node has no link:0-7\..*memory:0, memory:1, link:0-1, link:1-0/],
    ["memory:9=0.5", /has no memory:9/],
    ["memory:0-1=0.5", /has no memory:0-1/],
    ["cpus=0", /not a number of CPUs from 1 to 2/],
    ["cpus:1=2", /one number for all nodes/],
    ["0.5,,0.6", /"" is not understood/],
  ])("refuses %j", (text, reason) => expect(() => readLoad({ load: text }, tiny2Node)).toThrow(reason));
});
