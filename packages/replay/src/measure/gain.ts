/** Gain of one kernel over another, between which limits it lies, and the most it could be. Counts in, percent out. */
import { account, CounterLayout, eventPrices, Kind, type MachineSpec, type Point, Source } from "@kreplica/hw-x86";
import { gainsAtCorners, PARAMETERS, percentGained } from "./corners.js";
import { cycleAccount, type LevelCycles, REPLICABLE, total } from "./cycle-account.js";

/** Percent; positive is faster, as in the cover letter. */
export interface Gain {
  readonly percent: number;
  readonly low: number;
  readonly high: number;
}

/**
 * (single - perNode) / single, and the least and most of it over all corners of the uncertain parameters.
 *
 * @param nodeIndex of the CPU's node in `spec.nodes`
 * @param after the machine as the second kernel finds it, where that leaves it less busy
 */
export function gain(
  single: Float64Array,
  perNode: Float64Array,
  spec: MachineSpec,
  nodeIndex: number,
  after: MachineSpec = spec,
): Gain {
  const middle = percentGained(account(single, spec, nodeIndex).cycles, account(perNode, after, nodeIndex).cycles);
  return within(middle, gainsAtCorners(single, perNode, spec, nodeIndex, after));
}

/** A figure and the least and most of it over all corners. */
export const within = (middle: number, atCorners: Float64Array): Gain => ({
  percent: middle,
  low: atCorners.reduce((least, each) => Math.min(least, each), middle),
  high: atCorners.reduce((most, each) => Math.max(most, each), middle),
});

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
 * @param after the machine as the second kernel finds it, where that leaves it less busy
 */
export function nearGain(
  single: Float64Array,
  perNode: Float64Array,
  spec: MachineSpec,
  { nodeIndex, far, near }: FarAndNear,
  point: Point = {},
  after: MachineSpec = spec,
): number {
  const layout = new CounterLayout(spec.nodes.length);
  const farness = (counters: Float64Array, on: MachineSpec): number => {
    const alike: MachineSpec = {
      ...on,
      latencyNs: on.latencyNs.map((row, from) =>
        from === nodeIndex ? row.map((ns, to) => (to === far ? row[near]! : ns)) : row,
      ),
    };
    const [dear, cheap] = [eventPrices(on, nodeIndex, point), eventPrices(alike, nodeIndex, point)];
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
  return cycles === 0 ? 0 : ((farness(single, spec) - farness(perNode, after)) / cycles) * 100;
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
export const bound = (single: Float64Array, spec: MachineSpec, place: FarAndNear): number =>
  mostSaved(single, spec, place, Source.L2);

/**
 * {@link bound} for a CPU that keeps what its L1 and L2 hold: every fetch of kernel text, load of rodata and read of
 * the page walker that L2 does not answer goes to memory, whatever L3 did; what L2 answered stays as it is, as cheap as
 * the ranges allow. {@link nearGain} is nowhere in the ranges larger; where memory is farther than L2 this is not above
 * {@link bound}. A gain between
 * the two asks for something that empties the core's own caches: a sibling thread, interrupts, an inclusive L3 that
 * others fill.
 *
 * @param single counts of the kernel with one copy
 */
export const boundBeyondL2 = (single: Float64Array, spec: MachineSpec, place: FarAndNear): number =>
  mostSaved(single, spec, place, Source.OwnL3);

/** @param beyond first source whose lines are taken to come from memory */
function mostSaved(
  single: Float64Array,
  spec: MachineSpec,
  { nodeIndex, far, near }: FarAndNear,
  beyond: Source.L2 | Source.OwnL3,
): number {
  const latency = spec.latencyNs[nodeIndex]!;
  if (latency[far]! <= latency[near]!) return 0;
  const layout = new CounterLayout(spec.nodes.length);
  const [prefetched, plain] = [true, false].map((wanted) =>
    REPLICABLE.filter(([, kind]) => (kind === Kind.PrefetchedFetch) === wanted).reduce((sum, [region, kind]) => {
      for (let source = beyond as number; source < layout.sources; source++)
        sum += single[layout.row(region, kind) + source]!;
      return sum;
    }, 0),
  ) as [number, number];
  const hit = Math.max(spec.l1i.cycles.high ?? spec.l1i.cycles.value, spec.l1d.cycles.high ?? spec.l1d.cycles.value);
  const at = (point: {
    readonly clock: "low" | "high";
    readonly latency: "low" | "high";
    readonly caches: "low" | "high";
  }): number => {
    const cheapest: Point = {
      ...Object.fromEntries(PARAMETERS.map((name) => [name, name === "prefetchHidden" ? "high" : "low"])),
      clock: point.clock,
      caches: point.caches,
    };
    const { cycles, account: parts } = cycleAccount(single, spec, nodeIndex, cheapest);
    // What stays as it was: the walker's hits in L1 are too few to be told apart where all beyond L1 is taken to move.
    const replaced = (levels: LevelCycles & { readonly l1?: number }): number =>
      total(levels) - (beyond === Source.L2 ? 0 : levels.l2 + (levels.l1 ?? 0));
    const rest = cycles - replaced(parts.text) - replaced(parts.rodata) - replaced(parts.walks);
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
  // So has it along clock, latency and caches: a slower L1 hides more of what lies behind it.
  const sides = ["low", "high"] as const;
  return Math.max(
    ...sides.flatMap((clock) => sides.flatMap((latency) => sides.map((caches) => at({ clock, latency, caches })))),
  );
}

/** Cycles of a far line's latency that a prefetch hides: what it costs less than a fetch that nobody foresaw. */
function hiddenAt(spec: MachineSpec, layout: CounterLayout, nodeIndex: number, point: Point, far: number): number {
  const prices = eventPrices(spec, nodeIndex, point);
  const exposure = spec.costs.fetchExposure.high ?? spec.costs.fetchExposure.value;
  const of = (kind: Kind): number => prices[kind * layout.sources + Source.Memory + far]!;
  return exposure === 0 ? 0 : (of(Kind.Fetch) - of(Kind.PrefetchedFetch)) / exposure;
}
