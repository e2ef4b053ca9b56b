/** One figure explained: values that are found do what they are said to, and are plausible where a source says so. */
import { account, CounterLayout, Kind, type MachineSpec, Place, Source } from "@kreplica/hw-x86";
import { checkMachine, e52690v3, presets } from "@kreplica/machines";
import { describe, expect, test } from "vitest";
import { explainedFigure } from "../src/explain/explain.js";
import { type Counted, type Figure, gained, type Pair } from "../src/explain/figure.js";
import { loadedGain, ownLoad, withRatio } from "../src/explain/causes.js";
import { frontEndFor, linesAhead, withLinesAhead } from "../src/explain/front-end.js";
import { planned } from "../src/explain/planned.js";
import { EQUAL } from "../src/explain/reaching.js";
import { sensitivities, swingOf } from "../src/explain/sensitivity.js";
import { sentencesOf } from "../src/explain/sentences.js";
import { Interconnect } from "../src/measure/interconnect.js";

const preset = (name: string): MachineSpec => presets.find((each) => each.name === name)!;
const [xeon8592, epyc7713, epyc9654] = [preset("xeon-8592-2s"), preset("epyc-7713-2s"), preset("epyc-9654-2s")];
const PLACE = { nodeIndex: 1, far: 0, near: 1 };
const layout = new CounterLayout(2);
const KERNEL = 1;

/** A run with so many fetches of kernel text from far memory, and so many from near. */
function run(far: number, near: number, instructions = 100_000): Float64Array {
  const counters = new Float64Array(layout.length);
  counters[layout.place(KERNEL, Place.Instructions)] = instructions;
  const row = layout.row(KERNEL, Kind.Fetch);
  counters[row + Source.Memory] = far;
  counters[row + Source.Memory + 1] = near;
  return counters;
}
const pairOf = (lines: number): Pair => ({ single: run(lines, 0), perNode: run(0, lines) });

/** Pressure brings 500 lines more, half of the most 250; a smaller L2 250. */
function figureOf(cache: "cold" | "hot", lines: number, layouts: readonly Pair[] = []): Figure {
  const counted = planned(e52690v3, 12).map(({ spec, differs }): Counted => {
    const more =
      differs.of === "pressure" ? (differs.value > 5000 ? 500 : 250) : differs.of === "L2 size" ? -lines / 2 : 0;
    return { spec, differs, ...pairOf(lines + more) };
  });
  return { test: "kill", cache, place: PLACE, cpus: 24, counted, layouts };
}
const causeOf = (figure: Figure, reported: number, name: string) =>
  explainedFigure(figure, reported).causes.find(({ cause }) => cause === name)!;
const modelled = (figure: Figure): number => gained(figure.counted[0]!, e52690v3, 1);

describe("a value that is found makes the gains equal", () => {
  const figure = figureOf("cold", 1000);
  test("far/near ratio, and one within the latencies' spread is plausible", () => {
    const now = modelled(figure);
    for (const [more, plausible] of [
      [0.5, true],
      [9, false],
    ] as const) {
      const { value, ...told } = causeOf(figure, now + more, "far/near ratio");
      const there = gained(figure.counted[0]!, withRatio(e52690v3, PLACE, value as number), 1);
      expect(Math.abs(there - now - more)).toBeLessThanOrEqual(EQUAL);
      expect(told.plausible).toBe(plausible);
      expect(told.change! <= 1).toBe(plausible);
    }
  });

  test("load on the links, implausible above what the test itself asks for", () => {
    const paths = new Interconnect(e52690v3);
    for (const cpus of [1, 24]) {
      const of = { ...figure, cpus };
      const { value, plausible } = causeOf(of, modelled(of) + 2, "load on the link");
      const there = loadedGain(of, paths, value as number);
      expect(Math.abs(there - modelled(of) - 2)).toBeLessThanOrEqual(EQUAL);
      expect(plausible).toBe(cpus === 24);
      expect((value as number) <= ownLoad(of, paths)).toBe(plausible);
    }
  });

  test("pressure and L2 size, between two that were run; another size than the processor's is not plausible", () => {
    const hot = figureOf("hot", 100);
    const half = hot.counted.find(({ differs }) => differs.of === "pressure")!;
    const wanted = (modelled(hot) + gained(half, half.spec, 1)) / 2;
    const pressed = causeOf(hot, wanted, "pressure on the last-level cache");
    expect(pressed.between).toEqual({ low: 0, high: half.differs.of === "pressure" ? half.differs.value : 0 });
    expect(pressed.value).toBeGreaterThan(0);
    const { value, between, plausible, change } = causeOf(figure, modelled(figure) * 0.9, "L2 size");
    expect(between).toEqual({ low: 256 << 10, high: 512 << 10 });
    expect(value).toBeGreaterThan(256 << 10);
    expect(plausible).toBe(false);
    expect(change).toBeNull();
  });

  test("noise: cycles of one run, plausible up to one interrupt", () => {
    const { cycles } = account(figure.counted[0]!.single, e52690v3, 1);
    const tick = (100 * e52690v3.costs.ipiCycles.high!) / cycles;
    const off = (points: number) => causeOf(figure, modelled(figure) + points, "single-shot noise");
    expect(off(tick / 2).value).toBeCloseTo(e52690v3.costs.ipiCycles.high! / 2, 3);
    expect(off(tick / 2).plausible).toBe(true);
    expect(off(-tick * 2).plausible).toBe(false);
  });
});

describe("layout", () => {
  const figure = figureOf("hot", 100, [pairOf(100), { single: run(140, 0), perNode: run(0, 140) }]);
  test("reaches what two drawn builds differ by, in points, and no further", () => {
    const near = causeOf(figure, modelled(figure) + 1, "layout");
    expect(near.value).toBeCloseTo(1, 6);
    expect(near.plausible).toBe(true);
    const beyond = causeOf(figure, 60, "layout");
    expect(beyond.value).toBeNull();
    expect(beyond.nearest!.percent).toBeLessThan(60);
  });
  test("is not looked at where none was drawn", () => {
    expect(causeOf(figureOf("hot", 100), 3, "layout")).toMatchObject({ value: null, nearest: null });
  });
});

test("a figure that no value reaches is told with the nearest", () => {
  const figure = figureOf("hot", 0);
  const ratio = causeOf(figure, 50, "far/near ratio");
  expect(ratio.value).toBeNull();
  expect(ratio.plausible).toBeNull();
  expect(ratio.nearest!.percent).toBeCloseTo(0, 6);
});

describe("run-ahead", () => {
  /** Fewer lines are waited for the more are under way: none with 64, a tenth less a line. */
  const aheadOf = (machine: MachineSpec, lines: number): Figure => ({
    test: "kill",
    cache: "cold",
    place: PLACE,
    cpus: 24,
    layouts: [],
    counted: planned(machine, machine.cpus.find(({ node }) => node === 1)!.id).map(({ spec, differs }): Counted => ({
      spec,
      differs,
      ...pairOf(lines / (1 + linesAhead(spec) / 10)),
    })),
  });
  const depths = ({ counted }: Figure): unknown[] =>
    counted.flatMap(({ differs }) => (differs.of === "run-ahead" ? [differs.value] : []));

  test("a machine that has it is run without, and at both ends of what was measured; those alone are plausible", () => {
    const figure = aheadOf(xeon8592, 1000);
    const { low, high, value } = xeon8592.costs.frontEnd!.lines;
    expect(depths(figure)).toEqual([0, low, high]);
    const gainOf = (lines: number): number => {
      const each = figure.counted.find(({ spec, differs }) =>
        lines === value ? differs.of === "nothing" : differs.of === "run-ahead" && linesAhead(spec) === lines,
      )!;
      return gained(each, each.spec, 1);
    };
    for (const [between, plausible] of [
      [[low!, value], true],
      [[value, high!], true],
      [[0, low!], false],
    ] as const) {
      const cause = causeOf(figure, (gainOf(between[0]) + gainOf(between[1])) / 2, "run-ahead");
      expect(cause.value).toBeCloseTo((between[0] + between[1]) / 2, 6);
      expect(cause.between).toEqual({ low: between[0], high: between[1] });
      expect(cause.plausible).toBe(plausible);
      expect(cause.change! <= 1).toBe(plausible);
      expect(cause.reason).toContain(xeon8592.costs.frontEnd!.lines.source);
    }
  });

  test("one of which nobody knows gets its maker's, and nothing is said of how plausible that is", () => {
    for (const [machine, of] of [
      [e52690v3, xeon8592],
      [epyc7713, epyc9654],
    ] as const) {
      const figure = aheadOf(machine, 1000);
      const { value, high } = of.costs.frontEnd!.lines;
      expect(depths(figure)).toEqual([value, high]);
      for (const { spec, differs } of figure.counted)
        if (differs.of === "run-ahead") expect(spec.costs.frontEnd!.targets).toEqual(of.costs.frontEnd!.targets);
      const [now, , there] = [0, value, high!].map((lines) => {
        const each = figure.counted.find(({ spec }) => linesAhead(spec) === lines)!;
        return gained(each, each.spec, 1);
      });
      const cause = causeOf(figure, (now! + there!) / 2, "run-ahead");
      expect(cause).toMatchObject({ now: 0, plausible: null, change: null });
      expect(cause.value).toBeGreaterThan(0);
      expect(cause.reason).toContain(of.costs.frontEnd!.lines.source);
      const figures = [explainedFigure(figure, (now! + there!) / 2)];
      expect(sentencesOf(figures, [], "m")).toContain(
        "Run-ahead alone makes 1 of 1 equal, with values nobody knows of this processor.",
      );
    }
  });

  test("without is as the description without: no front end, priced as one that waits", () => {
    const known = frontEndFor(xeon8592)!;
    expect(withLinesAhead(xeon8592, 0, known.frontEnd).costs).not.toHaveProperty("frontEnd");
    expect(withLinesAhead(xeon8592, 6, known.frontEnd)).toEqual(xeon8592);
    const other = withLinesAhead(e52690v3, 11, known.frontEnd);
    expect(checkMachine(other)).toEqual([]);
    // What was measured of another core's misses is not this one's.
    const { targets, straightLines, lines } = known.frontEnd;
    expect(other.costs.frontEnd).toEqual({ targets, straightLines, lines: { ...lines, value: 11 } });
  });
});

test("the smallest change uses least of its range; hot above the bound beyond L2 is out of reach", () => {
  const figure = figureOf("hot", 100, [pairOf(100), pairOf(140)]);
  const explained = explainedFigure(figure, modelled(figure) + 0.2);
  const least = explained.causes.filter(({ change }) => change !== null).sort((a, b) => a.change! - b.change!)[0]!;
  expect(explained.smallest).toBe(least.cause);
  expect(explained.outOfReach).toBe(false);
  expect(explainedFigure(figure, 60).outOfReach).toBe(true);
  expect(explainedFigure(figureOf("cold", 100), 60).outOfReach).toBe(false);
});

test("sensitivities are sorted, widest first, and have every parameter once", () => {
  const figures = [figureOf("cold", 1000), figureOf("hot", 100)];
  const all = sensitivities(figures);
  expect(all.map(swingOf)).toEqual(all.map(swingOf).sort((a, b) => b - a));
  expect(new Set(all.map(({ parameter }) => parameter)).size).toBe(all.length);
  for (const { cold, hot } of all) {
    expect(modelled(figures[0]!)).toBeGreaterThanOrEqual(cold.low - 1e-9);
    expect(modelled(figures[0]!)).toBeLessThanOrEqual(cold.high + 1e-9);
    expect(hot.low).toBeLessThanOrEqual(hot.high);
  }
});

test("sentences count what is in the figures", () => {
  const hot = figureOf("hot", 100);
  const figures = [explainedFigure(hot, modelled(hot)), explainedFigure(hot, 60)];
  const sentences = sentencesOf(figures, [], "m");
  expect(sentences[0]).toBe("On m, 1 of 2 reported gains lies within the modelled gain's limits: kill hot.");
  expect(sentences[1]).toContain("1 of 2 reported hot gains are more than");
  for (const name of ["load on the link", "far/near ratio", "single-shot noise"]) {
    const reached = figures.filter(({ causes }) => causes.some(({ cause, value }) => cause === name && value !== null));
    const sentence = sentences.find((each) => each.toLowerCase().startsWith(name.toLowerCase()))!;
    expect(sentence).toContain(reached.length === 0 ? "none of 2" : `${reached.length} of 2`);
  }
  expect(sentencesOf([], [], "m")).toEqual([]);
});
