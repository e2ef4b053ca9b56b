/** Measurements of `kreplica probe`: the program's lines, the document, and the machine that comes of it. */
import { InputError } from "@kreplica/inputs";
import { describe, expect, test } from "vitest";
import {
  accountsFromText,
  isMeasurement,
  machineFromAccounts,
  type MeasuredCell,
  type Measurement,
  measurementFrom,
  measurementFromProgram,
} from "../src/index.js";

const cell = (over: Partial<MeasuredCell> = {}): MeasuredCell => ({
  what: "load",
  from: 0,
  to: 0,
  cpu: 0,
  bytes: 16 << 20,
  runLines: 1,
  pages: "huge",
  cache: "cold",
  loaders: 0,
  loadMBs: 0,
  nanoseconds: 100,
  low: 90,
  high: 110,
  repeats: 9,
  disturbed: 0,
  stolenTicks: 0,
  placed: true,
  orderHash: 7,
  ...over,
});
const head = {
  processor: { vendor: "amd", family: 25, model: 17, name: "AMD EPYC", underHypervisor: true },
  tscHertz: 2_600_000_000,
  tscInvariant: true,
  coreHertz: 4_000_000_000,
  seed: 1,
  caches: [
    { name: "l1d", bytes: 32 << 10, ways: 8 },
    { name: "l2", bytes: 1 << 20, ways: 8 },
    { name: "l3", bytes: 32 << 20, ways: 16 },
  ],
  nodes: [
    { id: 0, memoryBytes: 2 ** 33, cpus: [0, 1] },
    { id: 1, memoryBytes: 2 ** 33, cpus: [2, 3] },
  ],
} as const;
const measurement = (cells: readonly MeasuredCell[], over: Partial<Measurement> = {}): Measurement => ({
  schema: "kreplica.probe/1",
  source: "measured by kreplica probe",
  seconds: 3,
  ...head,
  cells,
  notMeasured: [],
  ...over,
});
const line = (kind: string, of: object): string => `${JSON.stringify({ kind, ...of })}\n`;
const first = line("head", { version: 1, ...head });
const end = (cells: number): string => line("end", { cells, seconds: 3 });
const faultOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw error;
  }
  return "nothing was thrown";
};

describe("the program's lines", () => {
  test("whole: a measurement; ticks that the kernel does not tell are null", () => {
    const skip = { what: "fetch", from: 0, to: 1, bytes: 4096, runLines: 4, pages: "small", loaders: 0, reason: "no" };
    const read = measurementFromProgram(
      first + line("cell", cell()) + line("cell", { ...cell(), stolenTicks: -1 }) + line("skip", skip) + end(2),
      "program",
    );
    expect(read).toEqual(
      measurement([cell(), cell({ stolenTicks: null })], { notMeasured: [skip as Measurement["notMeasured"][0]] }),
    );
  });

  test.each([
    [
      "cut in a line",
      (first + line("cell", cell()) + end(1)).slice(0, -9),
      /^program:3: its output is cut off in a line/,
    ],
    ["without its end", first + line("cell", cell()), /^program:3: its output ends before its last line/],
    ["nothing at all", "", /its output is(?: cut off| ends)|ends before/],
    ["fewer cells than it says", first + end(1), /^program:2: it says that it printed 1 cells, and 0 are there/],
    ["more after the end", first + end(0) + line("cell", cell()), /^program:2: it says that it printed 0 cells/],
    [
      "a cell that is damaged",
      first + line("cell", { ...cell(), nanoseconds: -1 }) + end(1),
      /:2: nanoseconds is damaged/,
    ],
    ["low above the middle", first + line("cell", cell({ low: 101 })) + end(1), /^program:2: /],
    ["a line that is none", `${first}Segmentation fault\n`, /^program:2: it printed what is no line of its own/],
    ["an unknown kind", first + line("surprise", {}) + end(0), /^program:2: damaged/],
    ["a cell before the head", line("cell", cell()) + end(1), /^program:1: damaged/],
    ["another version", line("head", { version: 2, ...head }) + end(0), /:1: its first line is of another version/],
    ["a refusal", line("refusal", { reason: "no CLFLUSH" }), /^program: no CLFLUSH\. Measure on another machine/],
  ])("%s: refused", (_name, text, message) => {
    expect(faultOf(() => measurementFromProgram(text, "program"))).toMatch(message);
  });
});

describe("the document", () => {
  const text = (of: unknown): string => JSON.stringify(of, null, 1);

  test("is told by its content and read back as it was", () => {
    const of = measurement([cell()]);
    expect(isMeasurement(text(of))).toBe(true);
    expect(isMeasurement('{"schema": "kreplica.machine/1"}')).toBe(false);
    expect(measurementFrom(text(of), "a.json").measurement).toEqual(of);
  });

  test.each([
    [
      "a figure",
      { ...measurement([cell({ nanoseconds: 0 })]) },
      /^a\.json:\d+: cells\[0\]\.nanoseconds: 0 cannot stand/,
    ],
    ["a missing field", { ...measurement([]), seed: undefined }, /^a\.json:\d+: seed: missing/],
    ["a field too many", { ...measurement([]), more: 1 }, /no such field: more/],
    [
      "a contradiction",
      measurement([cell({ high: 99 })]),
      /^a\.json:\d+: cells\[0\]: its figures contradict one another/,
    ],
    [
      "a chain of half a group",
      measurement([cell({ bytes: 64 * 9, runLines: 4 })]),
      /cells\[0\]: its figures contradict/,
    ],
    [
      "a node that is not there",
      measurement([cell({ to: 7 })]),
      /^a\.json:\d+: cells\[0\]: node 7 is not among the nodes/,
    ],
  ])("%s: refused with its place", (_name, of, message) => {
    expect(faultOf(() => measurementFrom(text(of), "a.json"))).toMatch(message);
  });
});

describe("the machine", () => {
  const machineOf = (of: Measurement) =>
    machineFromAccounts(accountsFromText(JSON.stringify(of, null, 1), "cells.json"), "probed");
  const pairs = [
    cell(),
    cell({ to: 1, nanoseconds: 180, high: 190 }),
    cell({ from: 1, to: 1, cpu: 2, nanoseconds: 104 }),
  ];

  test("latencies, clock and caches with who measured them; the pair that was not is said and assumed", () => {
    const machine = machineOf(
      measurement(pairs, {
        notMeasured: [
          {
            what: "load",
            from: 1,
            to: 0,
            bytes: 16 << 20,
            runLines: 1,
            pages: "huge",
            loaders: 0,
            reason: "mbind is refused",
          },
        ],
      }),
    );
    expect(machine.latencyNs[0]).toEqual([100, 180]);
    expect(machine.latencyNs[1]![1]).toBe(104);
    expect(machine.hertz).toMatchObject({
      value: 4e9,
      source: expect.stringMatching(/^measured by kreplica probe \(cells\.json:\d+\)$/),
    });
    expect(machine.l2.bytes).toBe(1 << 20);
    expect(machine.vendor).toBe("amd");
    const sources = machine.sources.join("\n");
    expect(sources).toMatch(/latencyNs: measured by kreplica probe \(cells\.json/);
    expect(sources).toMatch(/not measured: latency from node 1 to node 0 \(mbind is refused\); assumed/);
    expect(sources).toMatch(/not measured: cycles of l2; assumed/);
    expect(machine.l2.cycles).toMatchObject({ provisional: true });
  });

  test("memory's latency is that of the shortest chain beyond every L2, idle and cold", () => {
    const machine = machineOf(
      measurement([
        cell({ bytes: 64 << 20, nanoseconds: 105 }),
        cell({ bytes: 4 << 20, nanoseconds: 95 }),
        cell({ cache: "hot", nanoseconds: 98 }),
        cell({ loaders: 1, nanoseconds: 109 }),
        cell({ what: "fetch", nanoseconds: 109 }),
        cell({ nanoseconds: 101 }),
      ]),
    );
    expect(machine.latencyNs[0]![0]).toBe(101);
  });

  test("a cache's cycles by a hot chain that it holds and the one before does not, unless it took memory's time", () => {
    const hot = (bytes: number, nanoseconds: number): MeasuredCell =>
      cell({ cache: "hot", bytes, nanoseconds, low: nanoseconds / 2, high: nanoseconds });
    const machine = machineOf(measurement([...pairs, hot(16 << 10, 1), hot(256 << 10, 3.5), hot(4 << 20, 90)]));
    expect(machine.l1d.cycles).toMatchObject({ value: 4, low: 2, high: 4 });
    expect(machine.l2.cycles).toMatchObject({
      value: 14,
      source: expect.stringMatching(/^measured by kreplica probe/),
    });
    expect(machine.l3.cycles).toMatchObject({ provisional: true });
    expect(machine.sources.join("\n")).toMatch(
      /cycles of l3: a hot chain of 4096 KiB took 90\.0 ns a line, nearly memory's latency/,
    );
    expect(machineOf(measurement([...pairs, hot(4 << 20, 15)])).l3.cycles.value).toBe(60);
  });

  test("of an emulator's times none is the machine's: its shape alone, and that is said", () => {
    const emulated = { ...head.processor, emulated: true } as const;
    const hot = cell({ cache: "hot", bytes: 16 << 10, nanoseconds: 1, low: 1, high: 1 });
    const machine = machineOf(measurement([...pairs, hot], { processor: emulated }));
    expect(machine.nodes.map(({ id, memoryBytes }) => [id, memoryBytes])).toEqual([
      [0, 2 ** 33],
      [1, 2 ** 33],
    ]);
    expect(machine.l2.bytes).toBe(1 << 20);
    for (const { source } of [machine.hertz, machine.l1d.cycles]) expect(source).not.toMatch(/kreplica probe/);
    const measured = pairs.map(({ nanoseconds }) => nanoseconds);
    expect(machine.latencyNs.flat().filter((ns) => measured.includes(ns))).toEqual([]);
    expect(machine.sources.join("\n")).toMatch(/not measured: clock, latencies, cycles of caches: under an emulator/);
    const printed = (by: object): Measurement =>
      measurementFromProgram(line("head", { version: 1, ...head, processor: by }) + end(0), "program");
    expect(printed(emulated).source).toBe("measured by kreplica probe, under an emulator");
    expect(printed(head.processor).source).toBe("measured by kreplica probe");
  });

  test("what disturbed is said: others on the CPU, stolen time, places that the kernel does not tell", () => {
    const sources = machineOf(
      measurement([cell({ disturbed: 5, stolenTicks: 20, placed: false }), ...pairs.slice(1)]),
    ).sources.join("\n");
    expect(sources).toMatch(/others ran on the measured CPU in most repeats of 1 of 3 cells/);
    expect(sources).toMatch(/the hypervisor took 0\.2 s/);
    expect(sources).toMatch(/where memory of node 0 lay was not verified/);
    expect(machineOf(measurement(pairs)).sources.join("\n")).not.toMatch(/others ran|hypervisor took|not verified/);
  });
});
