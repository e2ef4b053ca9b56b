/** Gains over a map's axes, and the distances at which they change sign. */
import { CounterLayout, Kind, Place, Source } from "@kreplica/hw-x86";
import { e52690v3, presets } from "@kreplica/machines";
import { expect, test } from "vitest";
import { withRatio } from "../src/explain/causes.js";
import { gained } from "../src/explain/figure.js";
import { EQUAL } from "../src/explain/reaching.js";
import { panelOf } from "../src/map/gain-map.js";
import { mapAxes } from "../src/map/map-axes.js";

const PLACE = { nodeIndex: 1, far: 0, near: 1 };
const layout = new CounterLayout(2);
const KERNEL = 1;

/** A run with so many fetches of kernel text from far memory, and so many from near. */
function run(far: number, near: number): Float64Array {
  const counters = new Float64Array(layout.length);
  counters[layout.place(KERNEL, Place.Instructions)] = 100_000;
  const row = layout.row(KERNEL, Kind.Fetch);
  counters[row + Source.Memory] = far;
  counters[row + Source.Memory + 1] = near;
  return counters;
}
const OWN = 1.43;
const axes = mapAxes(e52690v3, OWN);

test("the machine's own place and every preset's L2 and L3 are on the axes, ascending, each once", () => {
  expect(axes.l2Bytes).toEqual([256, 512, 1024, 2048].map((kib) => kib << 10));
  expect(axes.farOverNear).toContain(OWN);
  for (const values of [axes.l2Bytes, axes.farOverNear])
    expect(values).toEqual([...new Set(values)].sort((a, b) => a - b));
  expect(axes.inclusions).toEqual(["inclusive", "victim"]);
  for (const { l2 } of presets.filter(({ name }) => name !== "tiny-2-node")) expect(axes.l2Bytes).toContain(l2.bytes);
  expect(mapAxes({ ...e52690v3, l3: { ...e52690v3.l3, inclusion: "independent" } }, 1).inclusions).toEqual(
    ["independent", "inclusive", "victim"].sort(),
  );
  const odd = { ...e52690v3, l2: { ...e52690v3.l2, bytes: 128 << 10 } };
  expect(mapAxes(odd, 2).l2Bytes[0]).toBe(128 << 10);
});

test("each place has the gain of its own machine and distance; the sign turns where it is said to", () => {
  // The copies' kernel fetches 200 lines more: below some distance that costs more than near memory saves.
  const columns = [
    { spec: e52690v3, single: run(1000, 0), perNode: run(0, 1200) },
    { spec: e52690v3, single: run(1000, 0), perNode: run(0, 900) },
    { spec: e52690v3, single: run(0, 0), perNode: run(0, 100) },
    { spec: e52690v3, single: run(0, 0), perNode: run(0, 0) },
    { spec: e52690v3, single: run(1000, 0), perNode: run(0, 1000) },
  ];
  const { gains, breakEven } = panelOf(columns, { ...axes, l2Bytes: [1, 2, 3, 4, 5] }, PLACE, OWN);
  expect(gains).toHaveLength(axes.farOverNear.length);
  for (const [row, ratio] of axes.farOverNear.entries())
    for (const [at, column] of columns.entries()) {
      const { percent, low, high } = gains[row]![at]!;
      expect(percent).toBe(gained(column, withRatio(e52690v3, PLACE, ratio), PLACE.nodeIndex));
      expect(low).toBeLessThanOrEqual(percent);
      expect(high).toBeGreaterThanOrEqual(percent);
    }
  expect(breakEven.map(({ l2Bytes }) => l2Bytes)).toEqual([1, 2, 3, 4, 5]);
  const [turns, ...others] = breakEven.map(({ farOverNear }) => farOverNear);
  expect(turns).toBeGreaterThan(1);
  expect(turns).toBeLessThan(1.4);
  expect(Math.abs(gained(columns[0]!, withRatio(e52690v3, PLACE, turns!), 1))).toBeLessThanOrEqual(EQUAL);
  // Gains everywhere, losses everywhere, nothing anywhere, nothing at the nearest and gains beyond.
  expect(others).toEqual([null, null, null, null]);
});
