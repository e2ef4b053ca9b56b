/**
 * How busy links and controllers are, and how long memory takes then: each waits for the other. Slower memory makes a
 * run longer, a longer run asks for less a second, and less asked for makes memory faster; so that there is one answer,
 * which is looked for resource by resource, always in the same order and a bounded number of times.
 */
import { account, CounterLayout, eventPrices, eventTotals, KINDS, type MachineSpec, Source } from "@kreplica/hw-x86";
import { timesIdle } from "@kreplica/machines";
import type { Interconnect } from "./interconnect.js";

/** CPUs of one node that do the same. */
export interface User {
  /** Index of their node. */
  readonly node: number;
  readonly cpus: number;
  /** Of one of them. */
  readonly counters: Float64Array;
}

/** A machine as busy as its users and its background make it. */
export interface Balance {
  /** The machine with the latencies of that. */
  readonly spec: MachineSpec;
  /** Share of the peak in use, by resource. */
  readonly utilisation: Float64Array;
  /** Sweeps over all resources until nothing moved. */
  readonly sweeps: number;
  /** False where the last sweep still moved a share by more than {@link SETTLED}. */
  readonly settled: boolean;
}

const MOST_SWEEPS = 60;
const HALVINGS = 48;
/** Shares that differ by less are the same. */
export const SETTLED = 1e-6;
/** Nanoseconds by which latencies are moved to see what a nanosecond costs a run. */
const STEP = 128;

/** What a nanosecond more costs a run, and what the run is without. */
interface Run {
  readonly cpus: number;
  readonly bytes: Float64Array;
  readonly seconds: number;
  /** Seconds for each latency that a resource adds over its idle one: `timesIdle - 1`. */
  readonly slope: Float64Array;
}

function runOf(spec: MachineSpec, paths: Interconnect, { node, cpus, counters }: User): Run {
  const nodes = spec.nodes.length;
  const layout = new CounterLayout(nodes);
  const later: MachineSpec = {
    ...spec,
    latencyNs: spec.latencyNs.map((row) => row.map((ns) => ns + STEP)),
    cacheToCacheNs: {
      ...spec.cacheToCacheNs,
      otherSocket: { ...spec.cacheToCacheNs.otherSocket, value: spec.cacheToCacheNs.otherSocket.value + STEP },
    },
  };
  const [now, then] = [eventPrices(spec, node), eventPrices(later, node)];
  const totals = eventTotals(counters, nodes);
  const hertz = spec.hertz.value;
  const seconds = account(counters, spec, node).cycles / hertz;
  const memory = new Float64Array(nodes);
  let caches = 0;
  for (let kind = 0; kind < KINDS; kind++)
    for (let source = 0; source < layout.sources; source++) {
      const event = kind * layout.sources + source;
      const perNs = (totals[event]! * (then[event]! - now[event]!)) / STEP / hertz;
      if (source >= Source.Memory && source < layout.cleanSameSocket) memory[source - Source.Memory]! += perNs;
      else caches += perNs;
    }
  const slope = new Float64Array(paths.resources.length);
  for (let home = 0; home < nodes; home++) {
    const controller = paths.memoryOf[home]!;
    const link = paths.link(home, node);
    if (controller >= 0) slope[controller]! += memory[home]! * spec.latencyNs[home]![home]!;
    if (link >= 0) slope[link]! += memory[home]! * spec.latencyNs[node]![home]!;
  }
  const between = paths.betweenCaches();
  for (const link of between) slope[link]! += (caches * spec.cacheToCacheNs.otherSocket.value) / between.length;
  return { cpus, bytes: paths.bytes(counters, node), seconds, slope };
}

/**
 * @param background share of each resource's peak that others use, 0 to below 1: served first, whatever the users do
 */
export function balance(
  spec: MachineSpec,
  paths: Interconnect,
  users: readonly User[],
  background: Float64Array,
): Balance {
  const runs = users.map((user) => runOf(spec, paths, user));
  const utilisation = background.slice();
  const added = Float64Array.from(utilisation, (share) => timesIdle(spec.loadedLatency, share) - 1);
  let [sweeps, moved] = [0, Infinity];
  while (sweeps < MOST_SWEEPS && moved > SETTLED) {
    sweeps++;
    moved = 0;
    for (const [resource, { peakMBs }] of paths.resources.entries()) {
      // All else held, a run's seconds are a straight line over what this resource adds.
      const without = runs.map(({ seconds, slope }) =>
        slope.reduce((sum, each, other) => (other === resource ? sum : sum + each * added[other]!), seconds),
      );
      const asked = (share: number): number => {
        const more = timesIdle(spec.loadedLatency, share) - 1;
        return runs.reduce((sum, { cpus, bytes, slope }, nth) => {
          const seconds = without[nth]! + slope[resource]! * more;
          return bytes[resource] === 0 || seconds <= 0
            ? sum
            : sum + (cpus * bytes[resource]!) / seconds / 1e6 / peakMBs;
        }, background[resource]!);
      };
      let [low, high] = [background[resource]!, asked(background[resource]!)];
      for (let halving = 0; halving < HALVINGS && high - low > SETTLED / 16; halving++) {
        const middle = (low + high) / 2;
        if (asked(middle) > middle) low = middle;
        else high = middle;
      }
      const share = (low + high) / 2;
      moved = Math.max(moved, Math.abs(share - utilisation[resource]!));
      utilisation[resource] = share;
      added[resource] = timesIdle(spec.loadedLatency, share) - 1;
    }
  }
  return { spec: busy(spec, paths, added), utilisation, sweeps, settled: moved <= SETTLED };
}

/** The machine with what its resources add to its latencies: queues in a row are waited in one after the other. */
function busy(spec: MachineSpec, paths: Interconnect, added: Float64Array): MachineSpec {
  const between = paths.betweenCaches();
  const apart = between.reduce((sum, link) => sum + added[link]!, 0) / Math.max(1, between.length);
  if (added.every((each) => each === 0)) return spec;
  const { otherSocket } = spec.cacheToCacheNs;
  const longer = (ns: number): number => ns * (1 + apart);
  return {
    ...spec,
    latencyNs: spec.latencyNs.map((row, node) =>
      row.map((ns, home) => {
        const controller = paths.memoryOf[home]!;
        const link = paths.link(home, node);
        return (
          ns +
          (controller < 0 ? 0 : spec.latencyNs[home]![home]! * added[controller]!) +
          (link < 0 ? 0 : ns * added[link]!)
        );
      }),
    ),
    cacheToCacheNs: {
      ...spec.cacheToCacheNs,
      otherSocket: {
        ...otherSocket,
        value: longer(otherSocket.value),
        ...(otherSocket.low === undefined ? {} : { low: longer(otherSocket.low) }),
        ...(otherSocket.high === undefined ? {} : { high: longer(otherSocket.high) }),
      },
    },
  };
}
