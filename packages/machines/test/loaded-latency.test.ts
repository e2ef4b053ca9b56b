/**
 * Loaded latencies: four published curves read from the tool's text and had again, the shape they share, and tables
 * that are refused.
 */
import { TextLines } from "@kreplica/inputs";
import { describe, expect, test } from "vitest";
import {
  accountsFromText,
  checkMachine,
  e52690v3,
  machineFromAccounts,
  machineFromTools,
  parseLatencyChecker,
  timesIdle,
} from "../src/index.js";

/** Utilisation of the peak, and latency over the idle one, as published; peak in MB/s, idle latency in ns. */
const CURVES = {
  "2x E5-2699 v3, FD.io CSIT": {
    peak: 115_842,
    idle: 101,
    points: [
      [0.15, 1.04],
      [0.29, 1.07],
      [0.45, 1.12],
      [0.63, 1.23],
      [0.9, 2.05],
      [1, 2.91],
    ],
  },
  "2x Xeon 8180, FD.io CSIT": {
    peak: 216_600,
    idle: 81.4,
    points: [
      [0.23, 1.13],
      [0.39, 1.17],
      [0.52, 1.24],
      [0.74, 1.5],
      [0.99, 2.79],
      [1, 3.47],
    ],
  },
  "a server of two sockets": {
    peak: 159_200,
    idle: 82,
    points: [
      [0.27, 1.11],
      [0.38, 1.18],
      [0.52, 1.23],
      [0.64, 1.35],
      [0.84, 1.56],
      [1, 3.8],
    ],
  },
  "2x Xeon 8269CY, SNC2": {
    peak: 233_500,
    idle: 76.1,
    points: [
      [0.25, 1.1],
      [0.42, 1.16],
      [0.55, 1.23],
      [0.78, 1.44],
      [1, 3.23],
    ],
  },
} as const;

type Curve = (typeof CURVES)[keyof typeof CURVES];
const HEAD = "Intel(R) Memory Latency Checker - v3.9\n";
const tableOf = ({ peak, idle, points }: Curve): string =>
  `Measuring Loaded Latencies for the system\nUsing all the threads from each core if Hyper-threading is enabled\nUsing Read-only traffic type\nInject\tLatency\tBandwidth\nDelay\t(ns)\tMB/sec\n==========================\n` +
  [...points]
    .reverse()
    .map(
      ([share, times], i) =>
        ` ${String(i * 100).padStart(5, "0")}\t${(idle * times).toFixed(2)}\t ${(peak * share).toFixed(1)}\n`,
    )
    .join("");
const idleOf = ({ idle }: Curve): string =>
  `Measuring idle latencies (in ns)...\n\t\tNuma node\nNuma node\t     0\t     1\n       0\t  ${idle.toFixed(1)}\t 143.0\n       1\t 143.0\t  ${idle.toFixed(1)}\n\n`;

describe.each(Object.entries(CURVES))("%s", (_, curve) => {
  test("is had again within 5 % from the tool's output, at its points and between them", () => {
    const machine = machineFromTools(`${HEAD}${idleOf(curve)}${tableOf(curve)}`, "mlc.txt", "own", e52690v3);
    expect(checkMachine(machine)).toEqual([]);
    expect(machine.latencyNs[1]).toEqual([143, curve.idle]);
    expect(machine.loadedLatency!.source).toContain("mlc.txt:14-");
    for (const [share, times] of curve.points)
      expect(Math.abs(timesIdle(machine.loadedLatency, share) / times - 1)).toBeLessThan(0.05);
    // A point that is left out lies on the line between its neighbours: the others say it within the same.
    const { points } = machine.loadedLatency!;
    const without = { ...machine.loadedLatency!, points: points.filter((_, nth) => nth !== 1) };
    expect(Math.abs(timesIdle(without, points[1]!.utilisation) / points[1]!.timesIdle - 1)).toBeLessThan(0.05);
  });

  test("is one of those that the common shape was fitted to: within a tenth at each point up to 0.93", () => {
    for (const [share, times] of curve.points.filter(([each]) => each <= 0.93))
      expect(Math.abs(timesIdle(undefined, share) / times - 1)).toBeLessThan(0.1);
  });
});

test("over all four the common shape is off by less than 5 %, root mean square; at the peak it stands among theirs", () => {
  const errors = Object.values(CURVES).flatMap(({ points }) =>
    points.flatMap(([share, times]) => (share <= 0.93 ? [timesIdle(undefined, share) / times - 1] : [])),
  );
  expect(Math.sqrt(errors.reduce((sum, each) => sum + each * each, 0) / errors.length)).toBeLessThan(0.05);
  expect(timesIdle(undefined, 1)).toBeGreaterThan(2.9);
  expect(timesIdle(undefined, 1)).toBeLessThan(4);
  expect(timesIdle(undefined, 0)).toBe(1);
});

test("every curve rises without a step, beyond the peak steeply", () => {
  for (const curve of [undefined, { points: [{ utilisation: 0.5, timesIdle: 1.2 }], source: "x" }])
    for (let share = 0; share < 1.5; share += 0.001) {
      const [here, next] = [timesIdle(curve, share), timesIdle(curve, share + 0.001)];
      expect(next).toBeGreaterThan(here);
      if (share < 0.998) expect(next - here).toBeLessThan(0.05);
    }
  expect(timesIdle(undefined, 1.1)).toBeGreaterThan(10 * timesIdle(undefined, 1));
});

test("a row that somebody put a mark on is refused by its line, and no row behind it is lost unsaid; of a matrix too", () => {
  const whole = `${HEAD}${idleOf(CURVES["2x Xeon 8180, FD.io CSIT"])}${tableOf(CURVES["2x Xeon 8180, FD.io CSIT"])}`;
  const lines = whole.split("\n");
  const marked = (at: number): string =>
    lines.map((line, i) => (i === at ? `"${line.trim()}" <--- here` : line)).join("\n");
  const refused = (text: string): string => {
    try {
      machineFromTools(text, "mlc.txt", "own", e52690v3);
    } catch (error) {
      return String(error);
    }
    return "";
  };
  expect(refused(whole)).toBe("");
  const curve = lines.findIndex((line) => /^ 00200/.test(line));
  expect(refused(marked(curve))).toContain(`mlc.txt:${curve + 1}: loaded latencies: "`);
  const matrix = lines.findIndex((line) => /^ +1\t/.test(line));
  expect(refused(marked(matrix))).toContain(`mlc.txt:${matrix + 1}: idle latencies: "`);
});

test("the table alone is the base with that curve; among other inputs it is a fact with its line", () => {
  const curve = CURVES["2x Xeon 8180, FD.io CSIT"];
  const alone = machineFromTools(tableOf(curve), "loaded.txt", "loaded", e52690v3);
  expect(alone).toMatchObject({ name: "loaded", latencyNs: e52690v3.latencyNs, cpus: e52690v3.cpus });
  // Without an idle latency the table's lowest stands for it.
  expect(timesIdle(alone.loadedLatency, 1)).toBeCloseTo(3.47 / 1.13, 2);
  const accounts = accountsFromText(`${HEAD}${idleOf(curve)}${tableOf(curve)}`, "box.txt");
  const joined = machineFromAccounts(accounts, "joined");
  expect(timesIdle(joined.loadedLatency, 1)).toBeCloseTo(3.47, 2);
  expect(joined.sources.join("\n")).toMatch(/loadedLatency: Intel MLC \(box\.txt:14\)/);
});

test("a busier row that answers faster does not make the curve fall", () => {
  const text = `${HEAD}Measuring Loaded Latencies for the system\n 00000 250 1000\n 00002 260 990\n 20000 100 10\n`;
  const { loadedLatency } = machineFromTools(text, "mlc.txt", "own", e52690v3);
  expect(loadedLatency!.points.map(({ timesIdle: times }) => times)).toEqual([1, 2.6, 2.6]);
});

describe("refused, by line", () => {
  const parse = (rows: string) => () =>
    parseLatencyChecker(new TextLines("mlc.txt", `${HEAD}Measuring Loaded Latencies for the system\n${rows}`));
  test.each([
    [" 00000 294.33\n 00002 1 2\n", /mlc\.txt:3.*2 figures where delay, latency and bandwidth are expected/],
    [" 00000 fast 115842\n 00002 1 2\n", /mlc\.txt:3.*"fast" is not a figure above 0/],
    [" 00000 100 0.0\n 00002 1 2\n", /mlc\.txt:3.*"0\.0" is not a figure above 0/],
    [" 00000 294.33 115842\n", /mlc\.txt:2.*1 rows where a curve takes at least two/],
    ["\n", /mlc\.txt:2.*0 rows/],
    [" 00000 2 3\n 00002 1 2\nMeasuring Loaded Latencies\n 1 2 3\n", /mlc\.txt:5.*a second table/],
  ])("%j", (rows, reason) => expect(parse(rows)).toThrow(reason));

  test("in a machine file: points that do not ascend, latencies that fall", () => {
    const points = [
      { utilisation: 0.5, timesIdle: 2 },
      { utilisation: 0.5, timesIdle: 1.5 },
    ];
    expect(checkMachine({ ...e52690v3, loadedLatency: { points, source: "x" } })).toMatchObject([
      { path: ["loadedLatency", "points", 1, "utilisation"], reason: "0.5 does not come after 0.5" },
      { path: ["loadedLatency", "points", 1, "timesIdle"], reason: "latency falls from 2 to 1.5 as use grows" },
    ]);
  });
});
