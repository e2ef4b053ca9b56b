/** The map as text, side by side as far as the screen goes; what makes no map is refused before anything is run. */
import { e52690v3 } from "@kreplica/machines";
import type { GainMap, MapPanel } from "@kreplica/replay";
import { gainMapPicture } from "@kreplica/report";
import { traceTests } from "@kreplica/trace";
import { expect, test } from "vitest";
import { mapText } from "../src/report/map.js";
import { knownProcessors } from "../src/report/preset-standings.js";
import { screenFor } from "../src/report/terminal.js";
import { mapDocumentOf } from "../src/run-map.js";
import { faultsOf } from "./documents/validator.js";
import { invoke } from "./invoke.js";

const axes = {
  l2Bytes: [256, 512, 1024, 2048].map((kib) => kib << 10),
  farOverNear: [1, 1.2, 1.6],
  inclusions: ["inclusive", "victim"] as const,
};
const panel = (cache: MapPanel["cache"], inclusion: MapPanel["inclusion"], from: number): MapPanel => ({
  cache,
  inclusion,
  gains: axes.farOverNear.map((ratio) =>
    axes.l2Bytes.map((_, nth) => {
      const percent = 10 * (ratio - 1) + from - nth;
      return { percent, low: percent - 1, high: percent + 1 };
    }),
  ),
  breakEven: axes.l2Bytes.map((l2Bytes, nth) => ({ l2Bytes, farOverNear: nth === 3 ? null : 1 + (nth - from) / 10 })),
});
const map: GainMap = {
  machine: e52690v3.name,
  policy: "per-node",
  test: traceTests[0]!,
  axes,
  own: { l2Bytes: 256 << 10, farOverNear: 1.6, inclusion: "inclusive" },
  panels: [
    panel("cold", "inclusive", 0.5),
    panel("cold", "victim", -9),
    panel("hot", "inclusive", 9),
    panel("hot", "victim", 0),
  ],
  pressure: 0,
  share: 1 / 8,
  sampling: { cold: 0.14, hot: 0.06 },
};
const processors = knownProcessors();
const text = (columns: number): string => mapText(map, processors, screenFor({}, { COLUMNS: String(columns) }));

test.each([
  [60, 4],
  [80, 2],
  [200, 1],
])("%i columns: rows of maps %i", (columns, rows) => {
  const lines = text(columns).split("\n");
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(columns);
  expect(lines.filter((line) => /L3 (inclusive|victim)( |$)/.test(line) && !line.includes(":"))).toHaveLength(rows);
});

test("figures, borders, doubtful signs, processors at their places, and what each map says", () => {
  const lines = text(60).split("\n");
  const head = lines.indexOf("  cold, L3 inclusive");
  expect(lines.slice(head + 1, head + 9)).toEqual([
    "  ratio   256K    512K      1M      2M",
    "   1.60    6.5 a   5.5     4.5     3.5",
    "                                 -----",
    "   1.20    2.5     1.5     0.5? | -0.5?",
    "                 -----   -----",
    "   1.00    0.5? | -0.5?   -1.5    -2.5",
    "  zero    0.95    1.05    1.15    none",
    "",
  ]);
  const flat = text(200).replace(/\s+/g, " ");
  expect(flat).toContain("cold, L3 victim: 0 of 12 places gain, 12 lose");
  expect(flat).toContain("with 3 of 4 sizes of L2");
  expect(flat).toContain("Told from an eighth of the test: off by 0.1 cold, 0.1 hot");
  for (const { name } of processors) expect(flat.split(name).length).toBeGreaterThan(1);
});

test("the document has every place, every processor and what is said of them", () => {
  const document = mapDocumentOf(map);
  expect(faultsOf(JSON.parse(JSON.stringify(document)), "kreplica.map/1")).toEqual([]);
  expect(document.cells).toHaveLength(48);
  expect(document.cells[0]).toMatchObject({ cache: "cold", l2Bytes: 256 << 10, farOverNear: 1, gainPercent: 0.5 });
  expect(document.samplingErrorPercent).toBe(0.14);
  expect(document.processors).toEqual(processors);
  expect(document.sentences).toContainEqual(expect.stringContaining("cold, L3 victim: 0 of 12 places gain, 12 lose"));
  expect(gainMapPicture(document).match(/<rect/g)).toHaveLength(48);
});

test("known processors are those that can be bought", () => {
  const names = processors.map(({ name }) => name);
  expect(names).toContain("epyc-7713-2s");
  expect(names).not.toContain("tiny-2-node");
  expect(processors.find(({ name }) => name === e52690v3.name)).toEqual({
    name: e52690v3.name,
    l2Bytes: 256 << 10,
    farOverNear: e52690v3.latencyNs[1]![0]! / e52690v3.latencyNs[1]![1]!,
    inclusion: "inclusive",
  });
});

test("what makes no map is refused", async () => {
  const said = async (...words: string[]): Promise<string> => {
    const { code, out, error } = await invoke(["map", ...words]);
    expect([code, out]).toEqual([2, ""]);
    return error;
  };
  expect(await said("--cpu", "0")).toMatch(/--cpu: CPU 0 of e5-2690v3-2s runs the image itself with per-node/);
  expect(await said("nothing")).toMatch(/no recording is of "nothing"/);
  expect(await said("-o", "-", "--json")).toMatch(/--output: .*standard output/);
  expect(await said("--cache", "warm")).toMatch(/--cache: "warm" is none of its values/);
  expect(await said("-o", "nothing/there.svg")).toMatch(/nothing\/there\.svg: --output: cannot be written|--output/);
});
