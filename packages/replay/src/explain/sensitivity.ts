/** What the range of each parameter does to the modelled gains, all others as they are: means over the tests. */
import { account, type MachineSpec } from "@kreplica/hw-x86";
import { PARAMETERS, percentGained } from "../measure/corners.js";
import { Interconnect } from "../measure/interconnect.js";
import type { CacheState } from "../measure/whole-machine.js";
import type { Stretch } from "./cause.js";
import { layoutGains, loadedGain, MOST_LOAD, ratioOf, withRatio } from "./causes.js";
import { asItIs, type Figure, gained } from "./figure.js";
import { linesAhead } from "./front-end.js";

/** One parameter. */
export interface Sensitivity {
  readonly parameter: string;
  /** Its range, in words. */
  readonly range: string;
  /** Least and most of the mean gain over the values looked at, percent. */
  readonly cold: Stretch;
  readonly hot: Stretch;
}

/** What its uncertain costs are called in words. */
const WORDS: Readonly<Record<(typeof PARAMETERS)[number], string>> = {
  clock: "clock of the core",
  latency: "latency of memory, near and far alike",
  caches: "latency of L2 and L3",
  cacheToCache: "latency of other caches",
  cyclesPerInstruction: "cycles an instruction",
  fetchExposure: "exposure of fetches",
  loadExposure: "exposure of loads",
  storeExposure: "exposure of stores",
  walkExposure: "exposure of walks",
  prefetchHidden: "cycles a prefetch hides",
  interrupt: "cost of an interrupt",
};

/** How wide the wider of its two ranges is, percentage points. */
export const swingOf = ({ cold, hot }: Sensitivity): number => Math.max(cold.high - cold.low, hot.high - hot.low);

/** @param figures cold and hot of each test @returns widest first; none where there is no figure */
export function sensitivities(figures: readonly Figure[]): Sensitivity[] {
  const [first] = figures;
  if (!first) return [];
  const { spec } = asItIs(first);
  const { place } = first;
  const paths = new Interconnect(spec);
  /** @param gains of one figure, in an order that is the same for all */
  const over = (parameter: string, range: string, gains: (of: Figure) => readonly number[]): Sensitivity[] => {
    const [cold, hot] = (["cold", "hot"] as const).map((cache) => meanRange(figures, cache, gains));
    return cold && hot ? [{ parameter, range, cold, hot }] : [];
  };
  const ratio = ratioOf(spec, place);
  const ratios = [Math.max(1, ratio * (1 - spec.latencySpread)), ratio, ratio * (1 + spec.latencySpread)];
  const running = (of: "pressure" | "L2 size" | "inclusion" | "run-ahead") => (figure: Figure) =>
    figure.counted
      .filter(({ differs }) => differs.of === "nothing" || differs.of === of)
      .map((each) => gained(each, each.spec, place.nodeIndex));
  const valuesOf = (of: "pressure" | "L2 size" | "run-ahead"): number[] =>
    first.counted.flatMap(({ differs }) => (differs.of === of ? [differs.value as number] : []));
  const pressures = valuesOf("pressure");
  const sizes = [...valuesOf("L2 size"), spec.l2.bytes].map((bytes) => bytes >> 10);
  const depths = [...valuesOf("run-ahead"), linesAhead(spec)];
  return [
    ...PARAMETERS.flatMap((name) => {
      const at = (figure: Figure, side: "low" | "value" | "high"): number => gainAt(figure, spec, { [name]: side });
      return over(WORDS[name], "as its source has it", (figure) => [
        at(figure, "low"),
        at(figure, "value"),
        at(figure, "high"),
      ]);
    }),
    ...(place.far === place.near
      ? []
      : over("far/near ratio", `${ratios[0]!.toFixed(2)} to ${ratios[2]!.toFixed(2)}`, (figure) =>
          ratios.map((each) => gained(asItIs(figure), withRatio(spec, place, each), place.nodeIndex)),
        )),
    ...(paths.resources.some(({ kind }) => kind === "link")
      ? over("load on the link", `0 to ${MOST_LOAD}`, (figure) => [
          // Without the test's own traffic, as all other figures are.
          gained(asItIs(figure), spec, place.nodeIndex),
          ...[0, 0.5, 0.8, MOST_LOAD].map((share) => loadedGain(figure, paths, share)),
        ])
      : []),
    ...(pressures.length > 0
      ? over("pressure on the last-level cache", `0 to ${Math.max(...pressures)} MB/s a core`, running("pressure"))
      : []),
    ...(sizes.length > 1
      ? over("L2 size", `${Math.min(...sizes)} to ${Math.max(...sizes)} KiB a core`, running("L2 size"))
      : []),
    ...over("inclusion", "inclusive or not", running("inclusion")),
    ...(depths.length > 1
      ? over("run-ahead", `${Math.min(...depths)} to ${Math.max(...depths)} lines under way`, running("run-ahead"))
      : []),
    ...(figures.every(({ layouts }) => layouts.length > 1)
      ? over("layout", `${first.layouts.length} layouts, each with each`, (figure) => layoutGains(figure, spec))
      : []),
  ].sort((a, b) => swingOf(b) - swingOf(a));
}

const gainAt = (figure: Figure, spec: MachineSpec, point: Parameters<typeof account>[3]): number => {
  const { single, perNode } = asItIs(figure);
  const cycles = (counters: Float64Array): number => account(counters, spec, figure.place.nodeIndex, point).cycles;
  return percentGained(cycles(single), cycles(perNode));
};

/** A value is the same for all tests at a time: means first, then the least and most of them. */
function meanRange(
  figures: readonly Figure[],
  cache: CacheState,
  gains: (of: Figure) => readonly number[],
): Stretch | undefined {
  const all = figures.filter((each) => each.cache === cache).map(gains);
  const [first] = all;
  if (!first) return undefined;
  const means = first.map((_, at) => all.reduce((sum, each) => sum + each[at]!, 0) / all.length);
  return { low: Math.min(...means), high: Math.max(...means) };
}
