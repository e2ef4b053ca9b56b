/**
 * What is counted, per CPU, in one Float64Array: events by region, kind and source. Exact to 2^53. Hot paths add one.
 *
 *   [region][kind][source]     references by what they were and where their line came from
 *   [region][place]            instructions, second-level TLB hits and walks, by code and data
 *   [machine-wide events]      interrupts sent and taken, faults
 *   [home node]                lines written back to that node's memory
 *
 * Only events, no cycles: what an event costs is known to account.ts, so that an uncertain latency needs no second run.
 */

/** Values the region register can take: 0 to 7. What they mean is the caller's. */
export const REGIONS = 8;

/** What a reference was. */
export enum Kind {
  /** Instruction fetch of a line nobody had prefetched. */
  Fetch,
  /** First fetch of a line the prefetcher had brought; the source is where it had come from. */
  PrefetchedFetch,
  Load,
  Store,
  /** The page walker's reads, and its stores of A and D. */
  Walk,
  /** Lines the instruction prefetcher brought: traffic, nobody waits. */
  Prefetch,
}
/** Count of {@link Kind}s. */
export const KINDS = 6;

/** Where the line came from. From {@link Source.Memory} on, the number of the home node's index is added. */
export enum Source {
  /** The core's L1. */
  L1,
  L2,
  /** The L3 of this core. */
  OwnL3,
  /** Another core's L1 or L2 behind the same L3. */
  Sibling,
  /** Another L3 or a core behind it had it modified. */
  DirtySameSocket,
  DirtyOtherSocket,
  /** A store found the line here, and copies elsewhere had to go first. */
  UpgradeSibling,
  UpgradeSameSocket,
  UpgradeOtherSocket,
  /**
   * DRAM of node index n: `Memory + n`. Clean in another L3: `CleanSameSocket` and `CleanOtherSocket` of the layout.
   */
  Memory,
}

/** Counts by region that are no references. */
export enum Place {
  Instructions,
  FetchSecondTlb,
  DataSecondTlb,
  FetchWalks,
  DataWalks,
}
const PLACES = 5;

/** Counts of the whole CPU. */
export enum Event {
  InterruptsSent,
  InterruptsTaken,
  Faults,
}
const EVENTS = 3;

/** Where each count lies in a CPU's array. */
export class CounterLayout {
  /** First source of "clean in another L3 of the same socket, home node n". */
  readonly cleanSameSocket: number;
  readonly cleanOtherSocket: number;
  /** Sources in a row. */
  readonly sources: number;
  readonly placesAt: number;
  readonly eventsAt: number;
  readonly writeBacksAt: number;
  readonly length: number;

  /** @param nodes of the machine, 1 to 64 */
  constructor(readonly nodes: number) {
    this.cleanSameSocket = Source.Memory + nodes;
    this.cleanOtherSocket = Source.Memory + 2 * nodes;
    this.sources = Source.Memory + 3 * nodes;
    this.placesAt = REGIONS * KINDS * this.sources;
    this.eventsAt = this.placesAt + REGIONS * PLACES;
    this.writeBacksAt = this.eventsAt + EVENTS;
    this.length = this.writeBacksAt + nodes;
  }

  /** First index of the row of a region and kind; add the source. */
  row(region: number, kind: Kind): number {
    return (region * KINDS + kind) * this.sources;
  }

  place(region: number, place: Place): number {
    return this.placesAt + region * PLACES + place;
  }

  event(event: Event): number {
    return this.eventsAt + event;
  }

  /** @param node index in the specification's nodes */
  writeBacks(node: number): number {
    return this.writeBacksAt + node;
  }
}

/** CPUs whose counters share a buffer, at most: of a large machine each has tens of KiB, and V8 collects by buffers. */
const SHARED = 64;

/** The counters of every CPU that was ever used. */
export class CounterBank {
  readonly layout: CounterLayout;
  /** Room for those of CPUs to come. */
  private room = new Float64Array(0);
  private readonly live = new Map<number, Float64Array>();

  constructor(nodes: number) {
    this.layout = new CounterLayout(nodes);
  }

  /** The array the CPU counts in: live, to read and not to keep. */
  of(cpu: number): Float64Array {
    let counters = this.live.get(cpu);
    if (!counters) {
      const { length } = this.layout;
      // For as many as there are already: of one CPU, and of two, no more is asked than they need.
      if (this.room.length === 0) this.room = new Float64Array(Math.min(SHARED, Math.max(1, this.live.size)) * length);
      counters = this.room.subarray(0, length);
      this.room = this.room.subarray(length);
      this.live.set(cpu, counters);
    }
    return counters;
  }

  /** CPUs that have counters, in the order of first use. */
  cpus(): number[] {
    return [...this.live.keys()];
  }

  /** A copy of a CPU's counters as they are now. */
  snapshot(cpu: number): Float64Array {
    return this.of(cpu).slice();
  }
}

/** What happened between two snapshots of one CPU. */
export function difference(before: Float64Array, after: Float64Array): Float64Array {
  return after.map((value, index) => value - before[index]!);
}
