/**
 * A machine's uncertain parameters at every corner of their ranges, and what a difference between two runs is at each.
 * Prices of events depend on the machine and the node alone, so that they are made once for all tests.
 */
import { eventPrices, eventTotals, type MachineSpec, type Point } from "@kreplica/hw-x86";

/**
 * The uncertain parameters. Each stands at the low or the high end of its stated range, independently of the others.
 */
export const PARAMETERS = [
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

/** How many corners there are: 2 to the power of the number of parameters. */
export const CORNERS = 2 ** PARAMETERS.length;

const cornerAt = (corner: number): Point =>
  Object.fromEntries(PARAMETERS.map((name, bit) => [name, (corner >> bit) & 1 ? "high" : "low"])) as Point;

/** `at[corner * events + event]`, cycles. */
interface CornerPrices {
  readonly nodeIndex: number;
  readonly at: Float64Array;
}

/** Of each machine those of the node that was asked about last: one node's are megabytes on a machine with many. */
const lastAsked = new WeakMap<MachineSpec, CornerPrices>();

function pricesOf(spec: MachineSpec, nodeIndex: number, events: number): Float64Array {
  const known = lastAsked.get(spec);
  if (known?.nodeIndex === nodeIndex) return known.at;
  const at = new Float64Array(CORNERS * events);
  for (let corner = 0; corner < CORNERS; corner++)
    at.set(eventPrices(spec, nodeIndex, cornerAt(corner)), corner * events);
  lastAsked.set(spec, { nodeIndex, at });
  return at;
}

/** Percent; positive is faster, as in the cover letter. */
export const percentGained = (single: number, perNode: number): number =>
  single === 0 ? 0 : ((single - perNode) / single) * 100;

/**
 * (single - perNode) / single at each corner, percent: in the order of the corners, which is the same for all nodes and
 * tests, so that gains may be added up corner by corner.
 *
 * @param single, perNode counters of two runs @param nodeIndex of the CPU's node in `spec.nodes`
 * @param after the machine as the second run finds it, where the first leaves it busier
 */
export function gainsAtCorners(
  single: Float64Array,
  perNode: Float64Array,
  spec: MachineSpec,
  nodeIndex: number,
  after: MachineSpec = spec,
): Float64Array {
  // A corner asks for nothing but two sums: regions are added up before, and what never happened is left out.
  const [one, other] = [eventTotals(single, spec.nodes.length), eventTotals(perNode, spec.nodes.length)];
  const prices = pricesOf(spec, nodeIndex, one.length);
  const lower = after === spec ? prices : pricesOf(after, nodeIndex, one.length);
  const happened = Array.from(one.keys()).filter((event) => one[event] !== 0 || other[event] !== 0);
  return Float64Array.from({ length: CORNERS }, (_, corner) => {
    let [before, behind] = [0, 0];
    for (const event of happened) {
      const at = corner * one.length + event;
      before += one[event]! * prices[at]!;
      behind += other[event]! * lower[at]!;
    }
    return percentGained(before, behind);
  });
}
