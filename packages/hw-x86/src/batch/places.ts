/** Where a core's state lies in the memory that its batches work on, and what the binary has to know of its shape. */
import type { LruPlaces } from "../lru-table.js";

/** Tables whose places are kept, a power of two: their frames' low bits choose among them. */
export const TABLES = 1024;

/** References that are handed over at once. */
export const CAPACITY = 8192;

/** Shape of a cache, and where its sets and origins lie. */
export interface CachePlace {
  readonly at: number;
  readonly bytes: number;
  /** 0 where it keeps none. */
  readonly originsAt: number;
  readonly groupMask: number;
  readonly ways: number;
}

/** Shape of a TLB, and where its arrays lie. */
export interface TlbPlace {
  readonly entriesAt: number;
  readonly pagesAt: number;
  readonly orderAt: number;
  /** 0 where it keeps none. */
  readonly regionsAt: number;
  readonly ways: number;
  readonly setMask: number;
}

/** A paging-structure cache: where its arrays lie. */
export interface LruPlace extends LruPlaces {
  /** What is shifted out of a key's hash to get its bucket. */
  readonly shift: number;
}

/** What a walk needs. */
export interface WalkPlace {
  /** By level, two words: the table that a walk reads there, and what was denied above it. */
  readonly steps: number;
  /** {@link TABLES} times a frame, or -1, and the byte address of its table. */
  readonly tables: number;
  /** By level of the table that an entry leads to. */
  readonly structures: readonly (LruPlace | null)[];
}

/** An L3 that the core has to itself, and what lies beyond it. */
export interface OuterPlace {
  /** Its sets; before and behind them a vector can be read. */
  readonly at: number;
  readonly ways: number;
  readonly groups: number;
  /** log2(groups), or -1. */
  readonly groupBits: number;
  readonly inclusion: "inclusive" | "victim" | "independent";
  /** A byte for each so many frames: index of their node, in holes the core's own, as beyond the last. */
  readonly homes: number;
  readonly homesLength: number;
  readonly homesShift: number;
  readonly ownHome: number;
  readonly nodes: number;
  /** A count for each node. */
  readonly writeBacks: number;
}

/** All the binary depends on: plain data, so that cores of one shape share one. */
export interface Places {
  readonly control: number;
  /**
   * Counts of a batch, 32 bits each: rows by region as in counters.ts, then by region the second-level TLB hits of code
   * and of data, and their walks.
   */
  readonly counts: number;
  readonly secondCounts: number;
  readonly sources: number;
  readonly input: number;
  readonly l1i: CachePlace;
  readonly l1d: CachePlace;
  /** null where TypeScript keeps it: more than 8 ways, or not ours. */
  readonly l2: CachePlace | null;
  readonly codeSmall: TlbPlace;
  readonly dataSmall: TlbPlace;
  readonly codeLarge: TlbPlace | null;
  readonly dataLarge: TlbPlace | null;
  readonly dataHuge: TlbPlace | null;
  readonly second: TlbPlace;
  readonly secondHuge: TlbPlace | null;
  /** The second level has pages of 2 MiB among the small ones. */
  readonly secondLarge: boolean;
  /** null where TypeScript walks. */
  readonly walk: WalkPlace | null;
  /** null where TypeScript goes beyond L2. */
  readonly outer: OuterPlace | null;
  readonly present: number;
  readonly presentShift: number;
  readonly prefetchLines: number;
  /** Bytes in all. */
  readonly end: number;
}
