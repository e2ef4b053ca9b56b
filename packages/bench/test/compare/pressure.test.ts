/// <reference types="node" />
/** Other CPUs' data in the last-level cache: the stream by hand, beside a replay, and the option that asks for it. */
import { assemble } from "@kreplica/di";
import {
  account,
  CounterLayout,
  Counters,
  hwX86,
  Kind,
  Machine,
  type MachineSpec,
  references,
  Source,
} from "@kreplica/hw-x86";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { e52690v3, tiny2Node } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import {
  compare,
  type CompareResult,
  ForeignStream,
  lineCounts,
  otherCores,
  type TraceMeasurement,
} from "@kreplica/replay";
import { beforeAll, describe, expect, test } from "vitest";
import { readPressure } from "../../src/commands/pressure-option.js";
import { shippedReplay } from "../../src/inputs/replay-kernel.js";
import { isLongRun } from "../../src/inputs/trace-file.js";
import { compareText } from "../../src/report/compare.js";
import { pressureDocument } from "../../src/report/documents/compare-pressure.js";
import { measureFile } from "../../src/run-jobs.js";

/** Of every L3 of the tiny machine: 64 sets of 8 ways. */
const L3_LINES = 512;

describe("the stream", () => {
  const layout = new CounterLayout(2);
  /** Where the measured CPU's second load of a line comes from, the stream having gone by in between. */
  function after(inclusion: MachineSpec["l3"]["inclusion"], lines: number): string {
    const assembly = assemble([hwX86(tinyMachine({ inclusion }))]);
    const machine = assembly.get(Machine);
    const cpu = machine.cpu(2);
    const own = assembly.get(Counters).of(2);
    // Another core of the socket is there from the start: a core alone is not probed.
    const stream = new ForeignStream(machine, 2, { mbsPerCore: 64_000 }, 1);
    stream.advance(1);
    expect(stream.inserted).toBe(1);
    cpu.loadPhysical(5, 3);
    const before = own.slice();
    stream.advance(lines);
    expect(own).toEqual(before);
    cpu.loadPhysical(5, 3);
    const changed = [...own.keys()].filter((at) => own[at] !== before[at]);
    expect(changed).toHaveLength(1);
    return Source[changed[0]! - layout.row(0, Kind.Load)] ?? "";
  }
  test("takes a line out of L1 where L3 is inclusive, once it has filled L3, and of no other kind", () => {
    expect(after("inclusive", 4 * L3_LINES)).toBe("Memory");
    expect(after("inclusive", 64)).toBe("L1");
    expect(after("victim", 4 * L3_LINES)).toBe("L1");
    expect(after("independent", 4 * L3_LINES)).toBe("L1");
  });

  /** Lines that it asks for, as frame and line in it. */
  function asked(seed: number, lines: number): string[] {
    const found: string[] = [];
    const spec = tinyMachine();
    const machine = {
      spec,
      cpu: (id: number) => ({ loadPhysical: (frame: number, line: number) => found.push(`${id} ${frame} ${line}`) }),
    };
    new ForeignStream(machine as unknown as Machine, 2, { mbsPerCore: 64_000 }, seed).advance(lines);
    return found;
  }
  test("goes through twice the cache before a line comes again, from the other core, over memory that no node has", () => {
    const lines = asked(1, 4 * L3_LINES);
    expect(new Set(lines).size).toBe(2 * L3_LINES);
    expect(new Set(lines.slice(0, 2 * L3_LINES)).size).toBe(2 * L3_LINES);
    for (const each of lines) {
      const [cpu, frame, line] = each.split(" ").map(Number) as [number, number, number];
      expect(cpu).toBe(3);
      expect(frame).toBeGreaterThanOrEqual(2 * 0x2_0000);
      expect(line >= 0 && line < 64).toBe(true);
    }
  });
  test("is the same for the same seed, and another for another", () => {
    expect(asked(7, 100)).toEqual(asked(7, 100));
    expect(asked(7, 100)).not.toEqual(asked(8, 100));
  });
  test("keeps what is due but no whole line", () => {
    const machine = assemble([hwX86(tinyMachine({ coresPerNode: 4 }))]).get(Machine);
    // Three other cores, 3 x 64 MB/s, at 1 GHz: 0.003 lines a cycle.
    const stream = new ForeignStream(machine, 4, { mbsPerCore: 64 }, 1);
    for (let n = 0; n < 1000; n++) stream.advance(100);
    expect(stream.inserted).toBeGreaterThanOrEqual(299);
    expect(stream.inserted).toBeLessThanOrEqual(300);
  });
});

describe("a comparison beside it", () => {
  const where = { cpu: 12, masterNode: 0, dataNode: 1 };
  const file = dataFile("traces/hsw-kill.kt.zst");
  const pressure = { mbsPerCore: 4000 };
  // An eighth of its cache: filled the sooner.
  const spec: MachineSpec = { ...e52690v3, l3: { ...e52690v3.l3, bytes: e52690v3.l3.bytes / 8 } };
  const job = { spec, where, pti: true, levels: 4 as const, seed: 1, policies: ["single-copy"], file };
  let idle: TraceMeasurement;
  let pressed: TraceMeasurement;
  beforeAll(() => {
    [idle] = measureFile(job) as [TraceMeasurement];
    [pressed] = measureFile({ ...job, pressure }) as [TraceMeasurement];
  }, 120_000);

  test("brings as many lines as the account's cycles give, cold and hot, by a count at the end", () => {
    const perCycle = (11 * 4000e6) / 64 / e52690v3.hertz.value;
    for (const cache of ["cold", "hot"] as const) {
      const due = account(pressed[cache], spec, 1).cycles * perCycle;
      expect(Math.abs(pressed.foreignLines![cache] - due)).toBeLessThanOrEqual(1);
    }
    expect(pressed.settled).toBe(true);
    expect(idle.foreignLines).toBeUndefined();
  });

  test("makes the measured CPU's own references, no more; hot, text comes from memory again", () => {
    for (const kind of [Kind.Fetch, Kind.Load, Kind.Store])
      for (const cache of ["cold", "hot"] as const)
        expect(Math.abs(references(pressed[cache], 2, kind) - references(idle[cache], 2, kind))).toBeLessThanOrEqual(
          // Lines that were prefetched are fetched under another kind: as many as L1 lost.
          kind === Kind.Fetch ? 0.02 * references(idle[cache], 2, kind) : 0.5,
        );
    expect(lineCounts(idle.hot, 2).textFromMemory).toBe(0);
    expect(lineCounts(pressed.hot, 2).textFromMemory).toBeGreaterThan(50);
  });

  test("is the same again", () => {
    const [again] = measureFile({ ...job, pressure }) as [TraceMeasurement];
    expect(again).toEqual(pressed);
  }, 60_000);

  test("is told at the head, in a table and in the document, and not where it was not asked for", async () => {
    const compared = (more: { readonly pressure?: typeof pressure }): Promise<CompareResult> =>
      compare(
        { spec, where, pti: true, levels: 4, seed: 1, ...more },
        shippedReplay(),
        { policy: "per-node", files: [file], isLong: isLongRun },
        (jobs) => Promise.resolve(jobs.map((each) => measureFile(each))),
      );
    const same = (text: string): string => text;
    const screen = { columns: 100, blocks: false, bold: same, dim: same, good: same, bad: same, warn: same };
    const flat = (result: CompareResult): string => compareText(result, screen).replace(/\s+/g, " ");
    const [without, beside] = [await compared({}), await compared({ pressure })];
    expect(pressureDocument(without)).toBeNull();
    expect(flat(without)).not.toMatch(/Pressure|Other CPUs/);
    const document = pressureDocument(beside)!;
    expect(document).toMatchObject({ mbsPerCore: 4000, cores: 11 });
    expect(document.tests.map(({ test, cache }) => `${test} ${cache}`)).toEqual(["kill hot", "kill cold"]);
    for (const each of document.tests) expect(each.singleCopyLines * each.perNodeLines).toBeGreaterThan(0);
    expect(flat(beside)).toContain(
      "Other CPUs read 4000 MB/s a core through the last-level cache of CPU 12 (inclusive): 11 cores, 44000 MB/s in all.",
    );
    expect(flat(beside)).toMatch(/Pressure: .* kill \d+ \d+ 1 1 hot kill \d+ \d+ \d+ \d+ lines: of other CPUs' data/);
  }, 60_000);
});

describe("--pressure", () => {
  test("is nothing where it is not given", () => {
    expect(readPressure({}, tiny2Node, 2)).toBeUndefined();
    expect(readPressure({ pressure: 5 }, tiny2Node, 2)).toEqual({ mbsPerCore: 5 });
  });
  test("refuses a CPU without neighbours, and more than its node's memory gives", () => {
    expect(() => readPressure({ pressure: 5 }, tinyMachine({ coresPerNode: 1 }), 1)).toThrow(
      /CPU 1 of tiny-2-node shares its last-level cache with no other core/,
    );
    expect(otherCores(tinyMachine({ coresPerNode: 1, threadsPerCore: 2 }), 1)).toEqual([]);
    const four = tinyMachine({ coresPerNode: 4 });
    expect(() => readPressure({ pressure: 3334 }, four, 0)).toThrow(
      /3 other cores at 3334 MB\/s.*10000 MB\/s.*at most 3333/s,
    );
    expect(readPressure({ pressure: 3333 }, four, 0)).toEqual({ mbsPerCore: 3333 });
  });
});
