/**
 * Where the cycles of a run went, in the reader's words: kernel text, rodata, data, walks; near and far. Sums to the
 * total.
 */
import {
  account,
  CounterLayout,
  Kind,
  type MachineSpec,
  Part,
  PARTS,
  Place,
  type Point,
  Source,
} from "@kreplica/hw-x86";
import { Region } from "../replay/program.js";

/** Cycles by where the line came from; local and remote are memory. */
export interface LevelCycles {
  readonly l2: number;
  readonly ownL3: number;
  readonly otherL3: number;
  readonly local: number;
  readonly remote: number;
}

/** Core cycles of one run, by cause. The leaves add up to the run's cycles exactly. */
export interface CycleAccount {
  /** All instructions, kernel and user, when nothing misses. */
  readonly instructions: number;
  /** Fetches of kernel text beyond L1. */
  readonly text: LevelCycles;
  /** Loads from kernel text and rodata. */
  readonly rodata: LevelCycles;
  /** Loads and stores of kernel data: direct map, vmalloc, page descriptors, .data. */
  readonly data: LevelCycles;
  /** Module text and data. */
  readonly modules: number;
  /** User text and data, whoever touches it. */
  readonly user: number;
  /** Page walks of all of them, l1 included. */
  readonly walks: LevelCycles & { readonly l1: number };
  /** First-level TLB misses the second level answered. */
  readonly secondTlb: number;
  readonly interrupts: number;
  /**
   * What the kernel did that one with a single copy would not have: further PGDs made, filled and freed, slots stored
   * in them; instructions and walks included.
   */
  readonly replication: number;
}

/** Cycles and their account. @param nodeIndex of the CPU's node in `spec.nodes` */
export function cycleAccount(
  counters: Float64Array,
  spec: MachineSpec,
  nodeIndex: number,
  point?: Point,
): { cycles: number; account: CycleAccount } {
  const { cycles, parts } = account(counters, spec, nodeIndex, point);
  const part = (region: Region, which: Part): number => parts[region * PARTS + which]!;
  const all = (which: Part): number =>
    [Region.User, Region.Kernel, Region.Rodata, Region.Module].reduce((sum, region) => sum + part(region, which), 0);
  const levels = (first: Part, of: (which: Part) => number): LevelCycles => ({
    l2: of(first),
    ownL3: of(first + 1),
    otherL3: of(first + 2),
    local: of(first + 3),
    remote: of(first + 4),
  });
  const both = (region: Region): number =>
    [Part.FetchL2, Part.DataL2].reduce((sum, first) => sum + total(levels(first, (which) => part(region, which))), 0);
  return {
    cycles,
    account: {
      instructions: all(Part.Base),
      // The region of a fetch is never rodata's; counted here all the same, so that nothing can fall between.
      text: levels(Part.FetchL2, (which) => part(Region.Kernel, which) + part(Region.Rodata, which)),
      rodata: levels(Part.DataL2, (which) => part(Region.Rodata, which)),
      data: levels(Part.DataL2, (which) => part(Region.Kernel, which)),
      modules: both(Region.Module),
      user: both(Region.User),
      walks: { l1: all(Part.WalkL1), ...levels(Part.WalkL2, all) },
      secondTlb: all(Part.SecondTlb),
      interrupts: all(Part.Interrupts),
      replication: parts
        .slice(Region.Replication * PARTS, (Region.Replication + 1) * PARTS)
        .reduce((sum, each) => sum + each, 0),
    },
  };
}

/** Sum over the levels. */
export const total = (levels: LevelCycles & { readonly l1?: number }): number =>
  (levels.l1 ?? 0) + levels.l2 + levels.ownL3 + levels.otherL3 + levels.local + levels.remote;

/** Sum of every leaf: the run's cycles. */
export const accountTotal = (of: CycleAccount): number =>
  of.instructions +
  total(of.text) +
  total(of.rodata) +
  total(of.data) +
  of.modules +
  of.user +
  total(of.walks) +
  of.secondTlb +
  of.interrupts +
  of.replication;

const EVERY = [Region.User, Region.Kernel, Region.Rodata, Region.Module];

/**
 * What may come from the image's node or from a copy's: fetches of kernel text, accesses to rodata, the page walker's
 * reads.
 */
export const REPLICABLE: readonly (readonly [Region, Kind])[] = [
  [Region.Kernel, Kind.Fetch],
  [Region.Kernel, Kind.PrefetchedFetch],
  [Region.Rodata, Kind.Load],
  [Region.Rodata, Kind.Store],
  ...EVERY.map((region) => [region, Kind.Walk] as const),
];

/** Lines, not cycles, that a run brought from beyond some cache. */
export interface LineCounts {
  /** Kernel text fetched from memory, near or far: what the caches did not hold. */
  readonly textFromMemory: number;
  /** Kernel text, rodata and walker's reads that L1 did not answer: all that replication could ever speed up. */
  readonly replicable: number;
  /** Data lines from memory. */
  readonly dataFromMemory: number;
  /** Fetches that missed L1I, and those of them that missed L2; loads and stores likewise. Whole CPU. */
  readonly fetchMissL1: number;
  readonly fetchMissL2: number;
  readonly dataMissL1: number;
  readonly dataMissL2: number;
  /**
   * References the kernel's own replication work made, and the instructions around them; these are in none of the other
   * figures.
   */
  readonly replicationLoads: number;
  readonly replicationStores: number;
  readonly replicationInstructions: number;
}

/** @param nodes of the machine */
export function lineCounts(counters: Float64Array, nodes: number): LineCounts {
  const layout = new CounterLayout(nodes);
  const count = (regions: readonly Region[], kinds: readonly Kind[], from: Source, to = layout.sources): number => {
    let sum = 0;
    for (const region of regions)
      for (const kind of kinds)
        for (let source = from; source < to; source++) sum += counters[layout.row(region, kind) + source]!;
    return sum;
  };
  const every = EVERY;
  const fetches = [Kind.Fetch, Kind.PrefetchedFetch];
  const accesses = [Kind.Load, Kind.Store];
  return {
    textFromMemory: count([Region.Kernel], fetches, Source.Memory, layout.cleanSameSocket),
    replicable: REPLICABLE.reduce((sum, [region, kind]) => sum + count([region], [kind], Source.L2), 0),
    dataFromMemory: count(every, accesses, Source.Memory, layout.cleanSameSocket),
    fetchMissL1: count(every, fetches, Source.L2),
    fetchMissL2: count(every, fetches, Source.OwnL3),
    dataMissL1: count(every, accesses, Source.L2),
    dataMissL2: count(every, accesses, Source.OwnL3),
    replicationLoads: count([Region.Replication], [Kind.Load], 0),
    replicationStores: count([Region.Replication], [Kind.Store], 0),
    replicationInstructions: counters[layout.place(Region.Replication, Place.Instructions)]!,
  };
}
