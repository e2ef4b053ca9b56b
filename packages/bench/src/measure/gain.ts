/** Gain of one kernel over another, between which limits it lies, and the most it could be. Counts in, percent out. */
import { account, eventPrices, eventTotals, type MachineSpec, type Point } from "@kreplica/hw-x86";
import { cycleAccount, lineCounts, total } from "./cycle-account.js";

/** Percent; positive is faster, as in the cover letter. */
export interface Gain { readonly percent: number; readonly low: number; readonly high: number }

/** The uncertain parameters. Each stands at the low or the high end of its stated range, independently of the others. */
const PARAMETERS = [
  "clock", "latency", "caches", "cacheToCache", "cyclesPerInstruction", "fetchExposure", "loadExposure", "storeExposure", "walkExposure", "prefetchHidden", "interrupt",
] as const satisfies readonly (keyof Point)[];

/** Every corner of the parameters' ranges: 2 to the power of their number. The ranges come with the machine; no test has its own. */
const corners: readonly Point[] = Array.from({ length: 2 ** PARAMETERS.length }, (_, corner) =>
  Object.fromEntries(PARAMETERS.map((name, bit) => [name, (corner >> bit) & 1 ? "high" : "low"])) as Point);

const percent = (single: number, perNode: number): number => (single === 0 ? 0 : (single - perNode) / single * 100);

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

/**
 * The most that near instead of far text could save in this run on this machine, percent.
 *
 * Every fetch of kernel text, load of rodata and read of the page walker that L1 does not answer is taken to go to memory, the far
 * one before and the near one after, both as dear as the ranges allow, nothing of it hidden, whatever L2 and L3 did; and all else is as
 * cheap as they allow. The clock is the same for both: whichever end of its range gives more.
 * A gain above this has other causes than where the text lies.
 *
 * @param single counts of the kernel with one copy @param far, near node indices of the memory before and after
 */
export function bound(single: Float64Array, spec: MachineSpec, nodeIndex: number, far: number, near: number): number {
  const latency = spec.latencyNs[nodeIndex]!;
  const { replicable } = lineCounts(single, spec.nodes.length);
  const hit = Math.max(spec.l1i.cycles.high ?? spec.l1i.cycles.value, spec.l1d.cycles.high ?? spec.l1d.cycles.value);
  const at = (clock: "low" | "high"): number => {
    const cheapest: Point = { ...Object.fromEntries(PARAMETERS.map((name) => [name, name === "prefetchHidden" ? "high" : "low"])), clock };
    const { cycles, account: parts } = cycleAccount(single, spec, nodeIndex, cheapest);
    const rest = cycles - total(parts.text) - total(parts.rodata) - total(parts.walks);
    const perNs = (spec.hertz[clock] ?? spec.hertz.value) / 1e9 * (1 + spec.latencySpread);
    const before = rest + replicable * (latency[far]! * perNs - hit);
    return before === 0 ? 0 : replicable * (latency[far]! - latency[near]!) * perNs / before * 100;
  };
  // What is saved and what is paid both grow in a straight line with the clock: their ratio has no peak between the ends.
  return Math.max(0, at("low"), at("high"));
}
