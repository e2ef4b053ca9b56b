/**
 * The cycle account: what counted events cost on a machine. Cold; the only place where a latency meets a count.
 *
 * Every weight is a whole number of 1/1024 cycles, so products and sums of counts are exact in a double (below 2^43
 * cycles) and the parts add up to the total whatever the order. docs/model-machine.md gives each weight in words.
 */
import { CounterLayout, Event, KINDS, Kind, Place, REGIONS, Source } from "./counters.js";
import type { MachineSpec, Sourced } from "./spec.js";

/** Where cycles went, per region; interrupts stand under region 0. */
export enum Part {
  /** Instructions, nothing missing. */
  Base,
  FetchL2,
  FetchOwnL3,
  FetchOtherL3,
  FetchLocal,
  FetchRemote,
  DataL2,
  DataOwnL3,
  DataOtherL3,
  DataLocal,
  DataRemote,
  WalkL1,
  WalkL2,
  WalkOwnL3,
  WalkOtherL3,
  WalkLocal,
  WalkRemote,
  /** First-level TLB misses that the second level answered. */
  SecondTlb,
  Interrupts,
}
/** Count of {@link Part}s. */
export const PARTS = 19;

/** Which end of its range a parameter is taken at. */
export type Side = "low" | "value" | "high";

/**
 * The uncertain parameters, each to be moved alone; what is not named stays at its value. `clock` is the core's:
 * nanoseconds become more cycles at its high end.
 */
export type Point = Partial<
  Record<
    | "clock"
    | "latency"
    | "caches"
    | "cacheToCache"
    | "cyclesPerInstruction"
    | "fetchExposure"
    | "loadExposure"
    | "storeExposure"
    | "walkExposure"
    | "prefetchHidden"
    | "interrupt",
    Side
  >
>;

/** Cycles by region and part. */
export interface Account {
  /** Core cycles, exact in 1/1024. */
  readonly cycles: number;
  /** `parts[region * PARTS + part]`, cycles. */
  readonly parts: Float64Array;
}

const at = (sourced: Sourced, side: Side = "value"): number => sourced[side] ?? sourced.value;
const exact = (cycles: number): number => Math.round(Math.max(0, cycles) * 1024) / 1024;

/**
 * Cost of one event of each source and kind, cycles beyond what an L1 hit costs, before exposure is weighed in.
 * A clean line of another L3 never costs more than its home memory would: the nearer one answers.
 */
function sourceCycles(
  spec: MachineSpec,
  layout: CounterLayout,
  nodeIndex: number,
  point: Point,
  hit: number,
): Float64Array {
  const cycles = new Float64Array(layout.sources);
  const perNs = at(spec.hertz, point.clock) / 1e9;
  const spread =
    point.latency === "low" ? 1 - spec.latencySpread : point.latency === "high" ? 1 + spec.latencySpread : 1;
  const sameSocket = at(spec.cacheToCacheNs.sameSocket, point.cacheToCache) * perNs;
  const sameL3 = at(spec.cacheToCacheNs.sameL3 ?? spec.cacheToCacheNs.sameSocket, point.cacheToCache) * perNs;
  const otherSocket = at(spec.cacheToCacheNs.otherSocket, point.cacheToCache) * perNs;
  cycles[Source.L2] = at(spec.l2.cycles, point.caches) - hit;
  cycles[Source.OwnL3] = at(spec.l3.cycles, point.caches) - hit;
  cycles[Source.Sibling] = cycles[Source.UpgradeSibling] = sameL3 - hit;
  cycles[Source.DirtySameSocket] = cycles[Source.UpgradeSameSocket] = sameSocket - hit;
  cycles[Source.DirtyOtherSocket] = cycles[Source.UpgradeOtherSocket] = otherSocket - hit;
  for (let home = 0; home < layout.nodes; home++) {
    const memory = spec.latencyNs[nodeIndex]![home]! * spread * perNs;
    cycles[Source.Memory + home] = memory - hit;
    cycles[layout.cleanSameSocket + home] = Math.min(memory, sameSocket) - hit;
    cycles[layout.cleanOtherSocket + home] = Math.min(memory, otherSocket) - hit;
  }
  return cycles;
}

/**
 * Cycles an instruction fetch takes beyond what an L1I hit does, by source; no exposure weighed in.
 * @param nodeIndex of the CPU's node in `spec.nodes`
 */
export function fetchCycles(spec: MachineSpec, nodeIndex: number): Float64Array {
  const cycles = instructionCycles(spec, new CounterLayout(spec.nodes.length), nodeIndex, {});
  cycles[Source.L1] = 0;
  return cycles.map(exact);
}

/** What {@link sourceCycles} says of fetches, and what the front end adds to a miss. */
function instructionCycles(spec: MachineSpec, layout: CounterLayout, nodeIndex: number, point: Point): Float64Array {
  const { missCycles } = spec.costs.frontEnd ?? {};
  const more = missCycles === undefined ? 0 : at(missCycles, point.caches);
  return sourceCycles(spec, layout, nodeIndex, point, at(spec.l1i.cycles, point.caches) - more);
}

/** Part a source belongs to, as steps above the L1 part of its group: 1 L2, 2 own L3, 3 other L3, 4 local, 5 remote. */
function originOf(source: number, layout: CounterLayout, nodeIndex: number): number {
  if (source === Source.L1) return 0;
  if (source === Source.L2) return 1;
  if (source === Source.OwnL3 || source === Source.Sibling || source === Source.UpgradeSibling) return 2;
  if (source < Source.Memory || source >= layout.cleanSameSocket) return 3;
  return source === Source.Memory + nodeIndex ? 4 : 5;
}

/**
 * What one event of each kind costs at a point, exact in 1/1024: `[kind * sources + source]`, then an instruction, an
 * answer of the second-level TLB, an interrupt. The same for all regions. {@link eventTotals} is its other factor.
 *
 * @param nodeIndex of the CPU's node in `spec.nodes`
 */
export function eventPrices(spec: MachineSpec, nodeIndex: number, point: Point = {}): Float64Array {
  const layout = new CounterLayout(spec.nodes.length);
  const { sources } = layout;
  const { costs } = spec;
  const fetchExposure = at(costs.fetchExposure, point.fetchExposure);
  const loadExposure = at(costs.loadExposure, point.loadExposure);
  const storeExposure = at(costs.storeExposure, point.storeExposure);
  const walkExposure = at(costs.walkExposure, point.walkExposure);
  const hidden = at(prefetchHidden(spec), point.prefetchHidden);
  const instruction = instructionCycles(spec, layout, nodeIndex, point);
  const data = sourceCycles(spec, layout, nodeIndex, point, at(spec.l1d.cycles, point.caches));
  const walk = sourceCycles(spec, layout, nodeIndex, point, 0);
  walk[Source.L1] = at(spec.l1d.cycles, point.caches);
  const prices = new Float64Array(KINDS * sources + 3);
  for (let source = 0; source < sources; source++) {
    // An L1 hit of a fetch, load or store is part of the instruction's own cycles; a prefetch is traffic only.
    if (source !== Source.L1) {
      prices[Kind.Fetch * sources + source] = exact(instruction[source]! * fetchExposure);
      // A front end that runs ahead has counted apart what of a line's latency it waited: what is left was hidden.
      if (costs.frontEnd === undefined)
        prices[Kind.PrefetchedFetch * sources + source] = exact(
          Math.max(0, instruction[source]! - hidden) * fetchExposure,
        );
      prices[Kind.Load * sources + source] = exact(data[source]! * loadExposure);
      prices[Kind.Store * sources + source] = exact(data[source]! * storeExposure);
    }
    prices[Kind.Walk * sources + source] = exact(walk[source]! * walkExposure);
  }
  prices[KINDS * sources] = exact(at(costs.cyclesPerInstruction, point.cyclesPerInstruction));
  prices[KINDS * sources + 1] = exact(at(spec.translation.second.cycles, point.caches) * walkExposure);
  prices[KINDS * sources + 2] = exact(at(costs.ipiCycles, point.interrupt));
  return prices;
}

/**
 * How often each event of {@link eventPrices} happened, regions added up: the sum of the products is the run's cycles,
 * exactly.
 * @param nodes of the machine
 */
export function eventTotals(counters: Float64Array, nodes: number): Float64Array {
  const layout = new CounterLayout(nodes);
  const others = KINDS * layout.sources;
  const totals = new Float64Array(others + 3);
  for (let region = 0; region < REGIONS; region++) {
    const row = layout.row(region, Kind.Fetch);
    for (let event = 0; event < others; event++) totals[event]! += counters[row + event]!;
    totals[others]! += counters[layout.place(region, Place.Instructions)]!;
    totals[others + 1]! += secondTlbAnswers(counters, layout, region);
  }
  totals[others + 2] = interrupts(counters, layout);
  return totals;
}

const secondTlbAnswers = (counters: Float64Array, layout: CounterLayout, region: number): number =>
  counters[layout.place(region, Place.FetchSecondTlb)]! + counters[layout.place(region, Place.DataSecondTlb)]!;
const interrupts = (counters: Float64Array, layout: CounterLayout): number =>
  counters[layout.event(Event.InterruptsSent)]! + counters[layout.event(Event.InterruptsTaken)]!;

/** First part of each kind's group, less the steps of {@link originOf} it has none for. */
const GROUPS: readonly (readonly [Kind, number])[] = [
  [Kind.Fetch, Part.FetchL2 - 1],
  [Kind.PrefetchedFetch, Part.FetchL2 - 1],
  [Kind.Load, Part.DataL2 - 1],
  [Kind.Store, Part.DataL2 - 1],
  [Kind.Walk, Part.WalkL1],
];

/**
 * What one CPU's counts cost.
 * @param counters a snapshot or a difference of two @param nodeIndex of the CPU's node in `spec.nodes`
 */
export function account(counters: Float64Array, spec: MachineSpec, nodeIndex: number, point: Point = {}): Account {
  const layout = new CounterLayout(spec.nodes.length);
  const { sources } = layout;
  const prices = eventPrices(spec, nodeIndex, point);
  const others = KINDS * sources;
  const parts = new Float64Array(REGIONS * PARTS);
  for (let region = 0; region < REGIONS; region++) {
    const first = region * PARTS;
    for (const [kind, group] of GROUPS) {
      const row = layout.row(region, kind);
      for (let source = 0; source < sources; source++) {
        const cycles = counters[row + source]! * prices[kind * sources + source]!;
        if (cycles !== 0) parts[first + group + originOf(source, layout, nodeIndex)]! += cycles;
      }
    }
    parts[first + Part.Base] = counters[layout.place(region, Place.Instructions)]! * prices[others]!;
    parts[first + Part.SecondTlb] = secondTlbAnswers(counters, layout, region) * prices[others + 1]!;
  }
  parts[Part.Interrupts] = interrupts(counters, layout) * prices[others + 2]!;
  return { cycles: parts.reduce((sum, cycles) => sum + cycles, 0), parts };
}

/** Cycles of a prefetched line's latency that pass before it is wanted; see {@link MachineSpec.costs}. */
function prefetchHidden(spec: MachineSpec): Sourced {
  if (spec.costs.prefetchHiddenCycles) return spec.costs.prefetchHiddenCycles;
  // 64 bytes are about 16 instructions of 4 bytes: what runs between the miss that starts the prefetch and its use.
  const cycles = 16 * spec.costs.cyclesPerInstruction.value;
  return { value: cycles, low: 0, high: 4 * cycles, source: "64 bytes of code at the base rate", provisional: true };
}

/** References of one kind, whatever their region and source. */
export function references(counters: Float64Array, nodes: number, kind: Kind): number {
  const layout = new CounterLayout(nodes);
  let count = 0;
  for (let region = 0; region < REGIONS && kind < KINDS; region++) {
    const row = layout.row(region, kind);
    for (let source = 0; source < layout.sources; source++) count += counters[row + source]!;
  }
  return count;
}
