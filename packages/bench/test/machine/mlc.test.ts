/// <reference types="node" />
/** Intel MLC: matrices read back from every version's heading and layout; alone, and beside numactl in one file. */
import { readFileSync } from "node:fs";
import { TextLines } from "@kreplica/inputs";
import { checkMachine, machineFromTools, parseLatencyChecker, preset } from "@kreplica/machines";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

const fixture = (name: string): string => readFileSync(new URL(`../fixtures/machine/${name}`, import.meta.url), "utf8");
const parse = (text: string) => parseLatencyChecker(new TextLines("mlc.txt", text));
const haswell = preset("e5-2690v3-2s")!;

const headings = [
  "Measuring idle latencies (in ns)...",
  "Measuring idle latencies for sequential access (in ns)...",
  "Measuring idle latencies for random access (in ns)...",
];

test("every version's heading, tabs or blanks, nodes without CPUs, with or without bandwidths", () => {
  const figure = fc.integer({ min: 1, max: 99_999 }).map((tenths) => tenths / 10);
  const matrix = fc.integer({ min: 1, max: 6 }).chain((nodes) =>
    fc.tuple(
      fc.uniqueArray(fc.nat(63), { minLength: nodes, maxLength: nodes }).map((ids) => ids.sort((a, b) => a - b)),
      fc.integer({ min: 1, max: nodes }),
      fc.array(
        fc.array(fc.oneof({ weight: 8, arbitrary: figure }, fc.constant(undefined)), {
          minLength: nodes,
          maxLength: nodes,
        }),
        { minLength: nodes, maxLength: nodes },
      ),
    ),
  );
  fc.assert(
    fc.property(
      matrix,
      fc.constantFrom(...headings),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      fc.constantFrom("\n", "\r\n"),
      ([ids, rows, values], heading, tabs, old, bandwidth, ending) => {
        const gap = tabs ? "\t" : "   ";
        const word = old ? "Socket" : "Numa node";
        const body = [
          `${gap}${gap}${old ? "Memory node" : "Numa node"}`,
          `${word}${gap}${ids.map((id) => `     ${id}${gap}`).join("")}`,
          ...ids
            .slice(0, rows)
            .map(
              (id, i) =>
                `       ${id}${gap}${values[i]!.map((value) => value?.toFixed(1) ?? "-").join(gap)}${tabs ? gap : ""}`,
            ),
          "",
        ];
        const text = [
          "Intel(R) Memory Latency Checker - v3.x",
          heading,
          ...body,
          "ALL Reads        :\t115762.0",
          "",
          ...(bandwidth
            ? [
                "Measuring Memory Bandwidths between nodes within system ",
                "Bandwidths are in MB/sec (1 MB/sec = 1,000,000 Bytes/sec)",
                "Using all the threads from each core if Hyper-threading is enabled",
                "Using Read-only traffic type",
                ...body,
              ]
            : []),
          "Inject\tLatency\tBandwidth",
          " 00000\t294.10\t 115842.0",
        ].join(ending);
        const read = parse(text);
        for (const each of bandwidth ? [read.latencyNs!, read.bandwidthMBs!] : [read.latencyNs!]) {
          expect(each.columns).toEqual(ids);
          expect([...each.rows]).toEqual(ids.slice(0, rows).map((id, i) => [id, values[i]]));
        }
        expect(read.bandwidthMBs === undefined).toBe(!bandwidth);
      },
    ),
  );
});

describe("faults name the line and the field", () => {
  const lines = fixture("haswell-2s.mlc.txt").split("\n");
  const with_ = (index: number, text: string | undefined): string =>
    lines.flatMap((line, i) => (i !== index ? [line] : text === undefined ? [] : [text])).join("\n");
  test.each<[string, string, RegExp]>([
    [
      "no matrix",
      "Intel(R) Memory Latency Checker - v3.5\nEach iteration took 202.0 core clocks ( 80.8    ns)\n",
      /^mlc\.txt: idle latencies: no latency matrix. Run `mlc --latency_matrix`/,
    ],
    ["no columns", with_(3, undefined), /^mlc\.txt:2: idle latencies: no row of node numbers/],
    ["no rows", lines.slice(0, 4).join("\n"), /^mlc\.txt:2: idle latencies: the matrix has no rows/],
    ["row too short", with_(5, "       1\t 141.2"), /^mlc\.txt:6: idle latencies, row 1: 1 figures for 2 nodes/],
    [
      "no figure",
      with_(5, "       1\t 141.2 fast"),
      /^mlc\.txt:6: idle latencies, row 1, column 1: "fast" is not a figure above 0/,
    ],
    ["zero", with_(4, "       0\t 0.0 98"), /^mlc\.txt:5: idle latencies, row 0, column 0: "0.0"/],
    ["negative", with_(4, "       0\t -5 98"), /^mlc\.txt:5: idle latencies, row 0, column 0: "-5"/],
    ["row twice", with_(5, "       0\t 141.2 98"), /^mlc\.txt:6: idle latencies, row 0: the row is given twice/],
    [
      "row of no node",
      with_(5, "       77\t 141.2 98"),
      /^mlc\.txt:6: idle latencies, row 77: node ids go from 0 to 63/,
    ],
    ["column of no node", with_(3, "Numa node 0 64"), /^mlc\.txt:4: idle latencies: column 64 is not a node id/],
    ["column twice", with_(3, "Numa node 0 0"), /^mlc\.txt:4: idle latencies: column 0/],
    ["two runs", [...lines, ...lines].join("\n"), /: idle latencies: a second matrix begins/],
    [
      "bandwidth row",
      with_(
        lines.findIndex((line) => line.includes("57941.5")),
        "       1\t30284.0",
      ),
      /memory bandwidths, row 1: 1 figures for 2 nodes/,
    ],
  ])("%s", (_what, text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});

test("all faults of a file at once, of both matrices", () => {
  const bad = fixture("haswell-2s.mlc.txt").replace("141.2", "fast").replace("98.8", "0").replace("30284.0", "");
  expect(() => parse(bad)).toThrow(
    /^mlc\.txt:6: .*row 1, column 0: "fast".*\nmlc\.txt:6: .*column 1: "0".*\nmlc\.txt:\d+: memory bandwidths, row 1: 1 figures for 2 nodes/,
  );
});

test("columns and rows that go on in the next line, as a terminal of 80 columns shows 16 nodes", () => {
  const ids = Array.from({ length: 16 }, (_, id) => id);
  const row = (i: number): string => `       ${i}\t${ids.map((j) => `${(i === j ? 80 : 130 + j) + 0.5}`).join("\t ")}`;
  const whole = [
    "Measuring idle latencies (in ns)...",
    "\t\tNuma node",
    `Numa node\t${ids.join("\t")}`,
    ...ids.map(row),
  ];
  const folded = whole.flatMap((line) => {
    const words = line.split("\t");
    return words.length < 9 ? [line] : [words.slice(0, 9).join("\t"), words.slice(9).join("\t")];
  });
  expect(folded.length).toBe(whole.length + 17);
  expect(parse(folded.join("\n"))).toEqual(parse(whole.join("\n")));
});

test("alone: the true matrices, CPUs and memory of the base's nodes, distances from latencies", () => {
  const machine = machineFromTools(fixture("haswell-2s.mlc.txt"), "mlc.txt", "box", haswell);
  expect(checkMachine(machine)).toEqual([]);
  expect(machine.latencyNs).toEqual([
    [101.0, 132.0],
    [141.2, 98.8],
  ]);
  expect(machine.bandwidthMBs).toEqual([
    [57_936, 30_265],
    [30_284, 57_941.5],
  ]);
  expect(machine.distance).toEqual([
    [10, 13],
    [14, 10],
  ]);
  expect([machine.cpus, machine.nodes]).toEqual([haswell.cpus, haswell.nodes]);
  expect(machine.provisional).toBe(true); // its CPUs are the base's
});

test("without bandwidths these are scaled, and that is said", () => {
  const machine = machineFromTools(fixture("e7-4800v2.mlc.txt"), "mlc.txt", "box", haswell);
  expect(checkMachine(machine)).toEqual([]);
  expect(machine.latencyNs[3]).toEqual([202, 197, 198, 135]);
  expect([machine.nodes.length, machine.cpus.length, new Set(machine.cpus.map((cpu) => cpu.socket)).size]).toEqual([
    4, 96, 4,
  ]);
  expect(machine.sources.join("\n")).toMatch(/^bandwidth where not measured: distances scaled/m);
});

test("beside numactl: its nodes, CPUs and distances, MLC's latencies; a memory-only node has no row", () => {
  const milan = { ...preset("epyc-7713-2s")!, provisional: false };
  const machine = machineFromTools(fixture("genoa-cxl.both.txt"), "box.txt", "box", milan);
  expect(checkMachine(machine)).toEqual([]);
  expect(machine.latencyNs[2]).toEqual([200.0, 200.1, 106.8, 115.8, 363.8]);
  expect(machine.latencyNs[4]).toEqual([279.4, 278.8, 363.8, 363.5, 278.8]);
  expect(machine.distance[2]).toEqual([32, 32, 10, 12, 60]);
  expect(machine.cpus.length).toBe(48);
  expect(machine.provisional).toBe(true); // bandwidth is scaled
  const both = fixture("haswell-2s.numactl.txt") + fixture("haswell-2s.mlc.txt");
  const whole = machineFromTools(both, "box.txt", "box", haswell);
  expect([whole.latencyNs[1], whole.distance[1], whole.provisional]).toEqual([[141.2, 98.8], [21, 10], false]);
});

test("matrices of another machine than numactl's are refused", () => {
  expect(() =>
    machineFromTools(fixture("haswell-2s.numactl.txt") + fixture("e7-4800v2.mlc.txt"), "box.txt", "box", haswell),
  ).toThrow(/the matrix has node 2, which numactl does not list/);
});

test("more CPUs than the model has are refused", () => {
  const ids = Array.from({ length: 64 }, (_, id) => id);
  const text = `Measuring idle latencies (in ns)...\nNuma node ${ids.join(" ")}\n${ids.map((id) => `${id} ${ids.map(() => 100).join(" ")}`).join("\n")}\n`;
  expect(() => machineFromTools(text, "f", "m", preset("epyc-7713-2s")!)).toThrow(/more than 4096 CPUs/);
  expect(machineFromTools(text, "f", "m", haswell).cpus.length).toBe(64 * 24);
});
