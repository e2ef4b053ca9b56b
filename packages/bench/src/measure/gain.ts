/** Gain of one kernel over another, between which limits it lies, and the most it could be. Counts in, percent out. */
import {
  account,
  CounterLayout,
  eventPrices,
  eventTotals,
  Kind,
  type MachineSpec,
  type Point,
  Source,
} from "@kreplica/hw-x86";
import { cycleAccount, REPLICABLE, total } from "./cycle-account.js";

/** Percent; positive is faster, as in the cover letter. */
export interface Gain {
  readonly percent: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The uncertain parameters. Each stands at the low or the high end of its stated range, independently of the others.
 */
const PARAMETERS = [
  "clock",
  "latency",
  "caches",
  "cacheToCache",
  "cyclesPerInstruction",
  "fetchExposure",
  "loadExposure",
  "storeExposure",
  "walkExposure",
  "prefetchHidden",
  "interrupt",
] as const satisfies readonly (keyof Point)[];

/**
 * Every corner of the parameters' ranges: 2 to the power of their number. The ranges come with the machine; no test has
 * its own.
 */
const corners: readonly Point[] = Array.from(
  { length: 2 ** PARAMETERS.length },
  (_, corner) =>
    Object.fromEntries(PARAMETERS.map((name, bit) => [name, (corner >> bit) & 1 ? "high" : "low"])) as Point,
);

const percent = (single: number, perNode: number): number => (single === 0 ? 0 : ((single - perNode) / single) * 100);

function cost(totals: Float64Array, prices: Float64Array): number {
  let cycles = 0;
  for (let event = 0; event < totals.length; event++) cycles += totals[event]! * prices[event]!;
  return cycles;
}

/**
 * (single - perNode) / single, and the least and most of it over all corners of the uncertain parameters.
 *
 * @param nodeIndex of the CPU's node in `spec.nodes`
 */
export function gain(single: Float64Array, perNode: Float64Array, spec: MachineSpec, nodeIndex: number): Gain {
  const middle = percent(account(single, spec, nodeIndex).cycles, account(perNode, spec, nodeIndex).cycles);
  // A corner asks for nothing but the two sums: regions are added up before, not at each of the corners.
  const [one, other] = [eventTotals(single, spec.nodes.length), eventTotals(perNode, spec.nodes.length)];
  let low = middle;
  let high = middle;
  for (const corner of corners) {
    const prices = eventPrices(spec, nodeIndex, corner);
    const each = percent(cost(one, prices), cost(other, prices));
    low = Math.min(low, each);
    high = Math.max(high, each);
  }
  return { percent: middle, low, high };
}

/** Where text came from before and where it comes from now: indices in `spec.nodes`. */
export interface FarAndNear {
  /** Of the CPU's node. */
  readonly nodeIndex: number;
  /** Of the image's node, which has the one copy. */
  readonly far: number;
  /** Of the copy the CPU uses. */
  readonly near: number;
}

/**
 * What of a gain is the place of the text alone, percent of the cycles with one copy: kernel text, loads from rodata
 * and reads of the page walker that came from beyond the CPU's own L3, at what they cost more than they would were the
 * image's node as near as the copy's; before, less the same afterwards. Nothing when both are equally near, whatever
 * else differs between the kernels, and never more than {@link bound}.
 *
 * @param single, perNode counts of the two kernels @param point where the uncertain parameters stand
 */
export function nearGain(
  single: Float64Array,
  perNode: Float64Array,
  spec: MachineSpec,
  { nodeIndex, far, near }: FarAndNear,
  point: Point = {},
): number {
  const alike: MachineSpec = {
    ...spec,
    latencyNs: spec.latencyNs.map((row, from) =>
      from === nodeIndex ? row.map((ns, to) => (to === far ? row[near]! : ns)) : row,
    ),
  };
  const [dear, cheap] = [eventPrices(spec, nodeIndex, point), eventPrices(alike, nodeIndex, point)];
  const layout = new CounterLayout(spec.nodes.length);
  const farness = (counters: Float64Array): number => {
    let cycles = 0;
    for (const [region, kind] of REPLICABLE) {
      const row = layout.row(region, kind);
      for (let source = 0; source < layout.sources; source++)
        cycles +=
          counters[row + source]! * (dear[kind * layout.sources + source]! - cheap[kind * layout.sources + source]!);
    }
    return cycles;
  };
  const { cycles } = account(single, spec, nodeIndex, point);
  return cycles === 0 ? 0 : ((farness(single) - farness(perNode)) / cycles) * 100;
}

/**
 * The most that near instead of far text could save in this run on this machine, percent: {@link nearGain} is nowhere
 * in the ranges larger.
 *
 * Every fetch of kernel text, load of rodata and read of the page walker that L1 does not answer is taken to go to
 * memory, the far one before and the near one after, nothing of it hidden, whatever L2 and L3 did; and all else is as
 * cheap as the ranges allow. A line that was prefetched costs what the prefetch cannot have hidden, and saves all the
 * same. Clock and latency are the same for both: whichever ends of their ranges give more. A gain above this has other
 * causes than where the text lies.
 *
 * @param single counts of the kernel with one copy
 */
export function bound(single: Float64Array, spec: MachineSpec, { nodeIndex, far, near }: FarAndNear): number {
  const latency = spec.latencyNs[nodeIndex]!;
  if (latency[far]! <= latency[near]!) return 0;
  const layout = new CounterLayout(spec.nodes.length);
  const [prefetched, plain] = [true, false].map((wanted) =>
    REPLICABLE.filter(([, kind]) => (kind === Kind.PrefetchedFetch) === wanted).reduce((sum, [region, kind]) => {
      for (let source = Source.L2 as number; source < layout.sources; source++)
        sum += single[layout.row(region, kind) + source]!;
      return sum;
    }, 0),
  ) as [number, number];
  const hit = Math.max(spec.l1i.cycles.high ?? spec.l1i.cycles.value, spec.l1d.cycles.high ?? spec.l1d.cycles.value);
  const at = (point: { readonly clock: "low" | "high"; readonly latency: "low" | "high" }): number => {
    const cheapest: Point = {
      ...Object.fromEntries(PARAMETERS.map((name) => [name, name === "prefetchHidden" ? "high" : "low"])),
      clock: point.clock,
    };
    const { cycles, account: parts } = cycleAccount(single, spec, nodeIndex, cheapest);
    const rest = cycles - total(parts.text) - total(parts.rodata) - total(parts.walks);
    const perNs =
      ((spec.hertz[point.clock] ?? spec.hertz.value) / 1e9) *
      (point.latency === "high" ? 1 + spec.latencySpread : 1 - spec.latencySpread);
    const saved = (latency[far]! - latency[near]!) * perNs;
    const paid = Math.max(0, latency[far]! * perNs - hit);
    // Beyond the near line's latency hiding takes as much from what is saved as from what is paid, which can only lower
    // their ratio.
    const paidAhead = Math.max(
      saved,
      paid - hiddenAt(spec, layout, nodeIndex, { ...point, prefetchHidden: "high", fetchExposure: "high" }, far),
    );
    const ratio = (ahead: number, others: number): number => {
      const before = rest + ahead * paidAhead + others * paid;
      return before <= 0 ? 0 : (((ahead + others) * saved) / before) * 100;
    };
    // A ratio of two straight lines has its peak in a corner: all of the lines, or of either kind.
    return Math.max(ratio(prefetched, plain), ratio(prefetched, 0), ratio(0, plain));
  };
  // So has it along clock and latency.
  return Math.max(
    ...(["low", "high"] as const).flatMap((clock) =>
      (["low", "high"] as const).map((side) => at({ clock, latency: side })),
    ),
  );
}

/** Cycles of a far line's latency that a prefetch hides: what it costs less than a fetch that nobody foresaw. */
function hiddenAt(spec: MachineSpec, layout: CounterLayout, nodeIndex: number, point: Point, far: number): number {
  const prices = eventPrices(spec, nodeIndex, point);
  const exposure = spec.costs.fetchExposure.high ?? spec.costs.fetchExposure.value;
  const of = (kind: Kind): number => prices[kind * layout.sources + Source.Memory + far]!;
  return exposure === 0 ? 0 : (of(Kind.Fetch) - of(Kind.PrefetchedFetch)) / exposure;
}
