/// <reference types="node" />
/**
 * Many CPUs at once: who goes on when, what each has for itself, the counts of one and two CPUs, and how it is told.
 */
import { type CpuId, Kind, type MachineSpec, type NodeId, references } from "@kreplica/hw-x86";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { boot, framesBeyond, RecordedPages, runnerPlaces } from "@kreplica/kernel";
import { e52690v3, tiny2Node } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import {
  busyCurve,
  type BusyCurve,
  type BusyJob,
  type BusyRuns,
  compare,
  type CompareResult,
  cpusAtOnce,
  cpusBeside,
  type Load,
  measureBusy,
} from "@kreplica/replay";
import { shippedGuest } from "@kreplica/trace";
import { dirname } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { type BusyOption, readAtOnce } from "../../src/commands/busy-option.js";
import { shippedReplay } from "../../src/inputs/replay-kernel.js";
import { isLongRun, recordedRun } from "../../src/inputs/trace-file.js";
import { shippedTraces } from "../../src/inputs/traces.js";
import { busyText } from "../../src/report/compare-busy.js";
import { loadDocument } from "../../src/report/documents/compare-load.js";
import { measureFile } from "../../src/run-jobs.js";

const FORK = dataFile("traces/hsw-fork1.kt.zst");
const where = { cpu: 12, masterNode: 0, dataNode: 1 };
const given = { spec: e52690v3, where, pti: true, levels: 4 as const, seed: 1 };
const job = { ...given, alignment: "patch-06" as const, policies: ["single-copy", "per-node"], file: FORK };
const at = (spec: MachineSpec, cpus: readonly CpuId[]) =>
  cpus.map((cpu) => ({ cpu, dataNode: spec.cpus.find(({ id }) => id === cpu)!.node }));
const measured = (own: Partial<BusyJob>): BusyRuns =>
  measureBusy({ ...job, busy: at(e52690v3, [12]), ...own }, recordedRun(FORK), shippedReplay());

describe("CPUs of every node", () => {
  test("the chosen one is its node's first, cores before second threads, and a small node gives all", () => {
    expect(cpusAtOnce(e52690v3, where, 2)).toEqual([0, 1, 12, 13]);
    expect(cpusAtOnce(e52690v3, { ...where, cpu: 14 }, 2)).toEqual([0, 1, 14, 12]);
    const threads = tinyMachine({ coresPerNode: 2, threadsPerCore: 2 });
    expect(cpusAtOnce(threads, { ...where, cpu: 5 }, 3)).toEqual([0, 2, 1, 5, 6, 4]);
    expect(cpusAtOnce(threads, { ...where, cpu: 0 }, 9)).toHaveLength(8);
  });

  const choices = { spec: e52690v3, where, files: shippedTraces(), named: false };
  const asked = (options: BusyOption, more: Partial<typeof choices> & { load?: Load } = {}) =>
    readAtOnce(options, { ...choices, ...more });
  const read = (busy: string) => asked({ busy })?.cpusPerNode;
  test("are read: ascending, once each, all", () => {
    expect(read("8, 1,2,8")).toEqual([1, 2, 8]);
    expect(read("1,all")).toEqual([1, 24]);
    expect(asked({})).toBeUndefined();
    expect(asked({ smt: true })).toEqual({ cpusPerNode: [1], beside: { threads: true } });
  });
  test.each(["0", "25", "", "1,,2", "1.5", "-1", "many", "1e1"])("%j is refused", (text) => {
    expect(() => read(text)).toThrow(/--busy: .*from 1 to 24/);
  });
  test("CPUs that --load has do the same are refused beside it, and more points than a curve has", () => {
    const load = { text: "cpus=4", cpusPerNode: 4, background: new Float64Array(4) };
    expect(() => asked({ busy: "2" }, { load })).toThrow(/--busy: .*cpus=4/);
    expect(() => asked({ smt: true }, { load })).toThrow(/--smt: .*cpus=4/);
    expect(() => read(Array.from({ length: 17 }, (_, n) => n + 1).join(","))).toThrow(/17 different numbers/);
  });
});

describe("what runs beside them", () => {
  const ids = (spec: MachineSpec, threads: boolean, cpus: readonly CpuId[]) => cpusBeside(spec, cpus, threads);
  const [neighboursOf, siblingsOf] = [false, true];
  const small = tinyMachine({ coresPerNode: 3, threadsPerCore: 2 });
  test("is on another core each, of the node, or on the other thread of the core; never where the test is", () => {
    expect(small.cpus.map(({ core }) => core)).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    expect(ids(small, neighboursOf, [0, 9])).toEqual([2, 6]);
    expect(ids(small, siblingsOf, [0, 9])).toEqual([1, 8]);
    expect(ids(small, neighboursOf, [0, 2])).toBeUndefined();
    expect(ids(small, siblingsOf, [0, 1])).toBeUndefined();
    expect(ids(tinyMachine({ threadsPerCore: 1 }), siblingsOf, [0])).toBeUndefined();
    expect(ids(e52690v3, siblingsOf, cpusAtOnce(e52690v3, where, 12))).toHaveLength(24);
  });
  test("is behind the same last-level cache while there are cores", () => {
    const halves = { ...small, cpus: small.cpus.map((cpu) => ({ ...cpu, l3: cpu.core < 2 ? 0 : cpu.core })) };
    expect(ids(halves, neighboursOf, [2])).toEqual([0]);
    expect(ids(halves, neighboursOf, [4])).toEqual([0]);
  });
  const choices = { spec: e52690v3, where, files: shippedTraces(), named: false };
  test("is a test of those compared, a file, or one of a folder's", () => {
    const folder = dirname(FORK);
    for (const neighbour of ["fork-1", FORK, `${folder}:fork-1`, `${folder}:hsw-fork1`])
      expect(readAtOnce({ neighbour }, choices)?.beside.neighbour, neighbour).toBe(
        neighbour === "fork-1" ? choices.files[0] : FORK,
      );
  });
  test.each([
    [{ neighbour: "fork-2" }, /--neighbour: no recording is of "fork-2". Did you mean fork-1/],
    [{ neighbour: `${dirname(FORK)}:nothing` }, /--neighbour: no recording is of "nothing"/],
    [{ neighbour: dirname(FORK) }, /--neighbour: \d+ recordings, .*where one is expected. Write the test behind/],
    [{ neighbour: import.meta.filename }, /busy.test.ts at byte 0: it is neither a KTRC1/],
    [{ neighbour: "kill", busy: "1,7" }, /--neighbour: a node of .* 7 run the test and 7 others/],
    [{ smt: true, busy: "13" }, /--smt: not each of 13 CPUs/],
  ])("%j is refused", (options, why) => {
    expect(() => readAtOnce(options, choices)).toThrow(why);
  });
});

describe("what each has for itself", () => {
  /** A page of the recording's data, and windows of which the data's lies 64 frames on. */
  const FRAME = 0x2_1234;
  const ownWindows = [
    { node: 0, first: 0, frames: 0x2_0000 },
    { node: 1, first: 0x2_0040, frames: 0x2_0000 },
  ];
  const cpus = cpusAtOnce(e52690v3, where, 4);
  const places = (spec: MachineSpec, dataNode?: NodeId) =>
    runnerPlaces(
      spec,
      shippedGuest,
      [0, 1],
      at(spec, [12, ...cpus.filter((cpu) => cpu !== 12)]).map((each) => ({
        ...each,
        dataNode: dataNode ?? each.dataNode,
      })),
      framesBeyond({ stext: 0n, end: 0n }, shippedGuest),
    );

  test("a window on its own node that nobody else has, at another place in a cache's sets, stacks and an entry area", () => {
    const found = places(e52690v3);
    if (typeof found === "number") throw new Error("no room");
    const own = found.map(({ windows }) => windows[1]!);
    expect(own.map(({ node }) => node)).toEqual(found.map(({ cpu }) => (cpu < 12 ? 0 : 1)));
    const runs = [...own, found[0]!.windows[0]!].sort((a, b) => a.first - b.first);
    for (const [n, { first }] of runs.slice(1).entries())
      expect(first).toBeGreaterThanOrEqual(runs[n]!.first + runs[n]!.frames);
    for (const node of [0, 1])
      expect(new Set(own.filter((each) => each.node === node).map(({ first }) => first % 512)).size).toBe(4);
    // Descriptors of 64 frames share a page, and are placed whole.
    for (const { first } of own) expect(first % 64).toBe(0);
    expect(new Set(found.map(({ vmallocBytes }) => vmallocBytes)).size).toBe(8);
    expect(found.map(({ position }) => position)).toEqual(found.map(({ cpu }) => cpu));
    expect(new Set(found.map(({ windows }) => windows[0])).size).toBe(1);
  });

  test("recorded addresses of stacks and of any CPU's entry area become its own; what all share stays", () => {
    const found = places(e52690v3);
    if (typeof found === "number") throw new Error("no room");
    const last = found.at(-1)!;
    const booted = boot({ spec: tiny2Node, image: shippedReplay().image("recorded"), policy: "per-node", pti: true });
    const alone = new RecordedPages(booted, [0, 1], shippedGuest);
    const own = new RecordedPages(booted, [0, 1], shippedGuest, undefined, {
      ...last,
      windows: ownWindows,
      position: 1,
    });
    const stack = 0xffff_c900_0012_3000n;
    expect(own.map(stack, FRAME) - alone.map(stack, FRAME)).toBe(last.vmallocBytes);
    // CPU 2's entry stack: of 59 pages each behind the IDT's.
    const area = (cpu: number): bigint => 0xffff_fe00_0000_0000n + BigInt((1 + 59 * cpu + 1) * 4096);
    expect(alone.map(area(2), FRAME)).toBe(area(2));
    expect(own.map(area(2), FRAME)).toBe(area(1));
    expect(own.map(area(2) + 0x40n, FRAME)).toBe(area(1) + 0x40n);
    expect(own.map(0xffff_fe00_0000_0000n, FRAME)).toBe(0xffff_fe00_0000_0000n);
    const direct = 0xffff_8880_0000_0000n + (BigInt(FRAME) << 12n);
    expect(own.map(direct, FRAME) - alone.map(direct, FRAME)).toBe(64n << 12n);
    // A module's page stays where the first has it.
    const module = 0xffff_ffff_c010_0000n;
    alone.map(module, FRAME);
    own.map(module, FRAME);
    expect(booted.tables.lookup(0, module)!.frame).toBe(alone.frame(FRAME));
    own.map(stack, FRAME);
    own.map(stack, FRAME + 1);
    expect(booted.tables.lookup(0, stack + last.vmallocBytes)!.frame).toBe(own.frame(FRAME + 1));
  });

  test("a node without room for them is named", () => {
    const small = { ...e52690v3, nodes: e52690v3.nodes.map((each) => ({ ...each, memoryBytes: 4 * 2 ** 30 })) };
    expect(places(small)).toBe(0);
    expect(() => measured({ spec: small, busy: at(small, cpus) })).toThrow(/nodes\[0\].*4 processes/);
  });
});

describe("one CPU alone", () => {
  test("counts what it does today, cold and hot, to the last", () => {
    const [single, perNode] = measureFile(job);
    const { counts } = measured({});
    for (const [n, today] of [single!, perNode!].entries()) {
      expect(counts[n]).toHaveLength(1);
      const { cold, hot, runs, settled } = counts[n]![0]!;
      expect({ cold, hot, runs, settled }).toEqual({
        cold: today.cold,
        hot: today.hot,
        runs: today.runs,
        settled: today.settled,
      });
    }
  }, 60_000);
});

describe("a recording of several CPUs", () => {
  test("makes the measured one's references, the same on each, and no others", () => {
    const file = dataFile("traces/hsw-poke.kt.zst");
    const busy = { ...job, policies: ["single-copy"], file, busy: at(e52690v3, [0, 12]) };
    const [alone] = measureFile({ ...job, policies: ["single-copy"], file });
    for (const { cold } of measureBusy(busy, recordedRun(file), shippedReplay()).counts[0]!)
      for (const kind of [Kind.Load, Kind.Store])
        expect(references(cold, 2, kind)).toBe(references(alone!.cold, 2, kind));
  }, 60_000);
});

describe("a machine of one node", () => {
  const node = e52690v3.nodes[1]!;
  const spec: MachineSpec = {
    ...e52690v3,
    nodes: [node],
    cpus: e52690v3.cpus.filter((cpu) => cpu.node === node.id),
    latencyNs: [[98.8]],
    bandwidthMBs: [[e52690v3.bandwidthMBs[1]![1]!]],
    distance: [[10]],
  };
  test.each([1, 3])(
    "copies gain nothing on %i CPUs, whichever is named first: every count is the same",
    (count) => {
      const place = { cpu: 12, masterNode: node.id, dataNode: node.id };
      const busy = at(spec, cpusAtOnce(spec, place, count));
      const { counts } = measured({ spec, where: place, busy });
      expect(measured({ spec, where: place, busy: busy.reverse() }).counts).toEqual(counts);
      expect(counts[0]).toHaveLength(count);
      expect(counts[1]).toEqual(counts[0]);
    },
    60_000,
  );
});

describe("one CPU of each node", () => {
  let result: CompareResult;
  let curve: BusyCurve;
  const jobs: BusyJob[] = [];
  const runs: BusyRuns[] = [];
  beforeAll(async () => {
    result = await compare(given, shippedReplay(), { policy: "per-node", files: [FORK], isLong: isLongRun }, (asked) =>
      Promise.resolve(asked.map((each) => measureFile(each))),
    );
    const { policy, standing } = result;
    curve = await busyCurve(given, shippedReplay(), { policy, files: [FORK], cpusPerNode: [1], standing }, (asked) => {
      jobs.push(...asked);
      runs.push(...asked.map((each) => measureBusy(each, recordedRun(each.file), shippedReplay())));
      return Promise.resolve(runs);
    });
  }, 120_000);

  test("whichever is named first, and when it is run again: the same", () => {
    const again = measured({ busy: [...jobs[0]!.busy].reverse() });
    expect(again.counts).toEqual(runs[0]!.counts);
  }, 60_000);

  test("cold, the far one's text comes from the image node's caches and not from its memory; its own copy's does not", () => {
    const [cold, hot] = curve.points;
    expect([cold!.cache, hot!.cache, cold!.cpus]).toEqual(["cold", "hot", 2]);
    const { single, perNode } = cold!;
    expect(single.text.farMemory).toBe(0);
    expect(single.text.otherL3).toBeGreaterThan(600);
    // The mean of two, of whom one alone has it from there.
    expect(single.text.otherL3).toBeLessThan(1.01 * single.text.nearMemory);
    expect(perNode.text.otherL3).toBe(0);
    expect(perNode.text.nearMemory).toBeCloseTo(single.text.otherL3 + single.text.nearMemory, 0);
    expect(hot!.single.text.farMemory + hot!.single.text.otherL3).toBe(0);
    expect(cold!.single.contended).toBeGreaterThan(50);
  });

  test("so that it gains far less than the one that is alone", () => {
    const alone = result.tests.find(({ cache }) => cache === "cold")!.gain.percent;
    const far = curve.points[0]!.nodes.find(({ node }) => node === 1)!.percent;
    expect(alone).toBeGreaterThan(15);
    expect(far).toBeLessThan(alone / 4);
    const [a, b] = curve.points[0]!.nodes.map(({ percent }) => percent);
    expect(curve.points[0]!.gain.percent).toBeCloseTo((a! + b!) / 2, 9);
    const { low, high, percent } = curve.points[0]!.gain;
    expect(low < percent && percent < high).toBe(true);
  });

  test("is told as a curve, in a table of counts and in the document", () => {
    const screen = { columns: 100, blocks: false, bold: String, dim: String, good: String, bad: String, warn: String };
    expect(busyText(result, screen)).toBe("");
    const text = busyText({ ...result, busy: curve }, screen);
    expect(text).toMatch(/All CPUs at once:/);
    expect(text).toMatch(/1 x 2\s+-?\d+\.\d\s+[-#]*\s+-?\d+\.\d \.\. -?\d+\.\d/);
    expect(text).toMatch(/Text by where it came from, cold/);
    const load = loadDocument({ ...result, busy: curve })!;
    expect(load.text).toBe("");
    expect(load.tests).toEqual([]);
    expect(load.atOnce.map(({ cache, cpusPerNode, cpus }) => [cache, cpusPerNode, cpus])).toEqual([
      ["cold", 1, 2],
      ["hot", 1, 2],
    ]);
    expect(load.atOnce[0]!.singleCopy.utilisation).toHaveLength(load.resources.length);
    expect(loadDocument(result)).toBeNull();
  });
});
