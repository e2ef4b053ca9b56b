/**
 * What a machine is, as data: nodes, CPUs, caches, TLBs, latencies, each number with its source.
 * A preset is a literal of this type; a user's JSON file is validated into it by `bench`.
 */
import type { CpuId, NodeId } from "./ids.js";

/** A number that somebody may contradict: its value, the range it is believed to lie in, where it comes from. */
export interface Sourced {
  readonly value: number;
  /** At most `value`. Absent: as certain as the value. */
  readonly low?: number;
  /** At least `value`. */
  readonly high?: number;
  /** Document and table, or how it was measured. */
  readonly source: string;
  /** Recalled or assumed, not read or measured: `kreplica machine` says so. */
  readonly provisional?: boolean;
}

/** One NUMA node. */
export interface NodeSpec {
  /** 0 to 63; ids may have gaps. */
  readonly id: NodeId;
  /** Bytes of memory, a multiple of 2 MiB; 0 for a memoryless node. */
  readonly memoryBytes: number;
  /**
   * First physical address; where absent, nodes follow one another in id order, each on 1 GiB. A hole for devices is
   * left out of the model.
   */
  readonly startAddress?: number;
}

/** One hardware thread and where it sits. */
export interface CpuSpec {
  readonly id: CpuId;
  readonly node: NodeId;
  /** Threads with the same core share L1, L2 and TLBs. Numbered over the whole machine. */
  readonly core: number;
  /** Cores with the same domain share one L3. Numbered over the whole machine. */
  readonly l3: number;
  readonly socket: number;
}

/** Names of {@link Replacement} policies. */
export const REPLACEMENTS = ["lru", "tree-plru", "fifo", "random", "nru", "srrip"] as const;

/**
 * Which way goes when something comes to a full set. `lru`: the one unused longest. `tree-plru`: a tree of bits over
 * the ways, a power of two of them. `fifo`: the one that came first. `random`. `nru`: one bit a way, also known as
 * bit-PLRU and MRU, which Nehalem's to Sandy Bridge's L3 were measured to have. `srrip`: two bits a way, of which later
 * L3s' were measured to be variants.
 * @source Jaleel and others, "High Performance Cache Replacement Using Re-Reference Interval Prediction", ISCA 2010;
 *   Abel and Reineke,
 *   "nanoBench", ISPASS 2020 (recalled)
 */
export interface Replacement {
  readonly policy: (typeof REPLACEMENTS)[number];
  /** `random` only: 0 to 2^32 - 1; 0 when absent. Each cache and TLB draws from a sequence of its own, all alike. */
  readonly seed?: number;
}

/** One cache. `bytes / (ways * 64)` sets; a multiple of 64, not necessarily a power of two except in L1. */
export interface CacheSpec {
  readonly bytes: number;
  readonly ways: number;
  /** Core cycles from access to use on a hit. */
  readonly cycles: Sourced;
  /** Absent: true LRU. */
  readonly replacement?: Replacement;
}

/**
 * One TLB: entries for one or more page sizes. `ways === entries` is fully associative; `entries / ways` is a power of
 * two.
 */
export interface TlbSpec {
  readonly entries: number;
  readonly ways: number;
  /** Absent: true LRU. */
  readonly replacement?: Replacement;
}

/**
 * TLBs and paging-structure caches of one core. A size without an entry of its own uses none (the STLB, where it covers
 * the size, or a walk).
 */
export interface TranslationSpec {
  readonly instruction: { readonly small: TlbSpec; readonly large?: TlbSpec };
  readonly data: { readonly small: TlbSpec; readonly large?: TlbSpec; readonly huge?: TlbSpec };
  /** Second level, for code and data alike; `large` says whether 2 MiB pages share it. */
  readonly second: TlbSpec & { readonly large: boolean; readonly cycles: Sourced; readonly huge?: TlbSpec };
  /**
   * Paging-structure caches, entries by the level of the entry they hold: pde (PMD), pdpte (PUD), pml4e (PGD/P4D). 0:
   * none.
   */
  readonly pagingStructure: {
    readonly pde: number;
    readonly pdpte: number;
    readonly pml4e: number;
    readonly source: string;
    readonly provisional?: boolean;
  };
  /**
   * What an instruction fetch comes to that meets translations of two sizes for its address, as it may where software
   * changes a page's size with no invalidation before. Absent: it takes either. Processors differ in what must change
   * beside the size (Intel: frame or memory type; AMD 383: nothing); here nothing need.
   * @source Intel, "Machine Check Error Avoidance on Page Size Change" (CVE-2018-12207); AMD, Revision Guide for Family
   *   10h Processors, erratum 383
   */
  readonly mixedSizes?: "machine-check";
  readonly source: string;
}

/** The cycle account: how much of a miss the core cannot hide. Dimensionless fractions 0 to 1 unless said. */
export interface CostSpec {
  /** Cycles an instruction takes when nothing misses. */
  readonly cyclesPerInstruction: Sourced;
  /** Share of an instruction-fetch miss (beyond L1I) the front end exposes. */
  readonly fetchExposure: Sourced;
  /** Share of a data-load miss (beyond L1D) out-of-order execution exposes. */
  readonly loadExposure: Sourced;
  /** Share of a store miss exposed (the store buffer hides most). */
  readonly storeExposure: Sourced;
  /** Share of a page walk exposed. */
  readonly walkExposure: Sourced;
  /** Lines fetched ahead by the next-line instruction prefetcher on an L1I miss; 0 is off. */
  readonly prefetchLines: number;
  /**
   * Cycles of a prefetched line's latency that are over when the line is first fetched. Absent: 16 instructions' base
   * cycles, 0 to four times that.
   */
  readonly prefetchHiddenCycles?: Sourced;
  /** Absent: the front end waits for each line that neither L1I nor the next-line prefetcher has. */
  readonly frontEnd?: FrontEndSpec;
  /** Cycles to send one inter-processor interrupt and to take it. */
  readonly ipiCycles: Sourced;
}

/**
 * A front end that runs ahead: its branch predictor says which lines come next, and they are asked for before the
 * instructions come to them. Takes the place of the next-line prefetcher.
 */
export interface FrontEndSpec {
  /** Reach: lines whose successor is remembered where it is not the line behind, 1 to 16384, those used last. */
  readonly targets: Sourced;
  /** Depth: lines under way at once, 1 to 64. */
  readonly lines: Sourced;
  /**
   * Lines ahead at once that nothing is remembered of: so far it goes straight on. 0 to 63; absent: as many as may be
   * under way.
   */
  readonly straightLines?: Sourced;
  /** Cycles to start anew behind a jump that was not foreseen, beside the wait for its line. Absent: 0. */
  readonly restartCycles?: Sourced;
  /** Cycles that a fetch missing L1I takes beyond a load from the same place. Absent: 0. */
  readonly missCycles?: Sourced;
  /**
   * How fast text runs whose every line is there: instructions a cycle at most, and cycles more for each jump taken. Of
   * text without data (`kreplica probe`'s); other text has {@link CostSpec.cyclesPerInstruction}. Absent: this too.
   */
  readonly plainText?: { readonly instructionsPerCycle: Sourced; readonly jumpCycles: Sourced };
}

/**
 * Who made the CPUs: CPUID names the maker, and where the two manuals (or processors) differ the interpreter does as
 * this one's. The list of differences: docs/decisions/016-two-vendors.md.
 */
export type Vendor = "intel" | "amd";

/** How latency grows with use, of memory controllers and of links alike. */
export interface LoadedLatency {
  /**
   * Ascending by utilisation: a share of the peak read bandwidth, 0 to 1, and the latency there over the idle one, at
   * least 1 and never falling. Straight lines between; (0, 1) stands before the first.
   */
  readonly points: readonly { readonly utilisation: number; readonly timesIdle: number }[];
  readonly source: string;
  /** Of another machine, or assumed. */
  readonly provisional?: boolean;
}

/** A whole machine. */
export interface MachineSpec {
  /** kebab-case; what `--machine` takes. */
  readonly name: string;
  /** One line. */
  readonly description: string;
  readonly nodes: readonly NodeSpec[];
  readonly cpus: readonly CpuSpec[];
  /** What of sockets, cores and L3s was assumed, and by which rule. Absent: nothing. */
  readonly assumedTopology?: string;
  /** Core clock the cycle figures are in, hertz; its range is what the clock may be while a test runs. */
  readonly hertz: Sourced;
  readonly l1i: CacheSpec;
  readonly l1d: CacheSpec;
  readonly l2: CacheSpec;
  /**
   * `inclusive`: a line in L1 or L2 is in L3 too. `victim`: L3 is filled by what L2 evicts. `independent`: filled on
   * the way, forces nothing above.
   */
  readonly l3: CacheSpec & { readonly inclusion: "inclusive" | "victim" | "independent" };
  readonly translation: TranslationSpec;
  /** Row: node of the CPU, column: node of the memory, in the order of `nodes`. Idle load latency, nanoseconds. */
  readonly latencyNs: readonly (readonly number[])[];
  /** Relative half-width of every latency's range, e.g. 0.1 is +-10 %. */
  readonly latencySpread: number;
  /** Read bandwidth, MB/s, same shape. */
  readonly bandwidthMBs: readonly (readonly number[])[];
  /** Absent: the shape that four published curves share. */
  readonly loadedLatency?: LoadedLatency;
  /** SLIT, same shape: 10 is local, 255 unreachable. */
  readonly distance: readonly (readonly number[])[];
  /**
   * Nanoseconds to fetch a line that another core or another L3 has, or to take the right to write it from them. One
   * figure a relation, not a matrix: no more is published for any machine here.
   */
  readonly cacheToCacheNs: {
    /** A core behind the same L3. Absent: as `sameSocket`, which is meant for machines with one L3 a socket. */
    readonly sameL3?: Sourced;
    /** Another L3 of the socket. */
    readonly sameSocket: Sourced;
    readonly otherSocket: Sourced;
  };
  readonly interconnectSource: string;
  /** The latency, bandwidth or topology is recalled or scaled from distances. */
  readonly provisional: boolean;
  readonly costs: CostSpec;
  /** Widths: physical and virtual address bits, as CPUID reports them; 57 allows 5 levels. */
  readonly physicalBits: number;
  readonly virtualBits: 48 | 57;
  /**
   * Place of the encryption bit (C-bit) in entries and in CR3, while memory is encrypted (SME, or a guest's under SEV):
   * 47 on Zen 1 and 2, 51 from Zen 3 on. It is no address bit then. Needs `vendor` "amd". Absent: entries have none.
   * @source AMD64 Architecture Programmer's Manual vol. 2, "Secure Memory Encryption", "Determining Support for Secure
   *   Memory Encryption" (CPUID Fn8000_001F[EBX])
   */
  readonly encryptionBit?: 47 | 51;
  /** Absent: "intel". */
  readonly vendor?: Vendor;
  readonly sources: readonly string[];
}
