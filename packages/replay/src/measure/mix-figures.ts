/**
 * What a comparison tells of a mix of system calls, and of so many processes, forks and migrations: the figures alone.
 */
import type { NodeId } from "@kreplica/hw-x86";
import type { CallCount } from "@kreplica/inputs";
import type { TraceTest } from "@kreplica/trace";
import type { Gain } from "./gain.js";
import type { CacheState } from "./whole-machine.js";

/** Cycles, or percent, by the state of the caches. */
type ByCache = Readonly<Record<CacheState, number>>;

/** Calls, and how they are to be taken. */
export interface Mix {
  /** File they are from. */
  readonly file: string;
  readonly calls: readonly CallCount[];
  /** Share of them that finds the caches cold, 0 to 1. */
  readonly coldShare: number;
}

/** A recording in the mix. */
export interface MixedTest {
  readonly test: TraceTest;
  readonly file: string;
  /** Iterations of it that the mix has. */
  readonly iterations: number;
  /** Calls that these cover. */
  readonly calls: number;
  /** Part of the covered calls' cycles, with one copy, on the CPU looked at: 0 to 1. */
  readonly weight: number;
  /** On the CPU looked at, percent. */
  readonly gain: number;
}

/** What the mix gains. */
export interface MixResult extends Mix {
  readonly tests: readonly MixedTest[];
  /** All calls of the file. */
  readonly total: number;
  readonly covered: number;
  /** Calls of no recording, or beyond what recordings pair; most time first, or most calls. */
  readonly uncovered: readonly CallCount[];
  /** Part of the file's time that is in covered calls, 0 to 1; undefined where the file has no times. */
  readonly coveredTime: number | undefined;
  /**
   * Of the covered calls' cycles: mean over the machine's CPUs, or of the CPU looked at. Least and most are those of
   * the recordings, each at its own corner. Undefined where nothing is covered.
   */
  readonly gain: Gain | undefined;
  /** By node; none where one CPU alone was asked for. */
  readonly nodes: readonly { readonly node: NodeId; readonly cpus: number; readonly gain: number }[];
}

/** How many; absent for what nobody asked about. */
export interface Rates {
  /** Processes there are at a time. */
  readonly processes?: number;
  readonly forksPerSecond?: number;
  /** Moves of a process to a node that it has not run on. */
  readonly migrationsPerSecond?: number;
}

/** Time of CPUs: percent of one CPU, and of all of the machine. */
export interface CpuTime {
  /** Cycles each takes longer than with one copy; negative where it is faster. */
  readonly cycles: ByCache;
  readonly cpuPercent: ByCache;
  readonly machinePercent: ByCache;
}

/** What they cost; absent for what nobody asked about. */
export interface RateCosts {
  readonly processes?: {
    readonly count: number;
    /** Page tables that all have more: when each has run on one node, and on every node. */
    readonly bytes: number;
    readonly everywhereBytes: number;
    /** Of the machine's memory. */
    readonly percent: number;
    readonly everywherePercent: number;
  };
  /** `time` is undefined where no test forks that was compared. */
  readonly forks?: { readonly perSecond: number; readonly time: CpuTime | undefined };
  /** At most: every migration is taken for the process' first to its node. */
  readonly migrations?: {
    readonly perSecond: number;
    /** Entries that one stores. */
    readonly stores: number;
    /** Of entries stored, a second. */
    readonly bytesPerSecond: number;
    /** Undefined where it was not run: no recording was short enough, or all nodes use the same copy. */
    readonly time: CpuTime | undefined;
  };
}
