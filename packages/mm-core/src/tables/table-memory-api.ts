/** Page-table entries in physical memory, and who is told of stores to them: interfaces and token. */
import { token } from "@kreplica/di";
import type { Frame, PhysMemory } from "@kreplica/hw-x86/api";

/** Told of every table store, after it happened. */
export type StoreObserver = (table: Frame, index: number) => void;

/**
 * Asked before entries [first, end) of a table are stored one after the other, with nothing between them.
 * @returns whether it has taken note of them all; otherwise the {@link StoreObserver} is told of each
 */
export type RunObserver = (table: Frame, first: number, end: number) => boolean;

/**
 * Told of every access to a table that a kernel with a single copy would not make, in order: what a replay sends
 * through a CPU.
 */
export interface ReplicaTraffic {
  /** A whole table is set to 0. */
  clear(table: Frame): void;
  load(table: Frame, index: number): void;
  store(table: Frame, index: number): void;
}

/**
 * In the high half of an entry as {@link TableMemory} has it: what the entry leads to is shared with who is outside,
 * not encrypted. One of the bits that processors leave to software.
 */
export const SHARED_HIGH = 1 << 26;

/**
 * Entries of page tables, as halves.
 *
 * Where the machine has an encryption bit it stands in every present entry but those with {@link SHARED_HIGH}, which
 * takes its place here: whoever makes an entry makes a private one, and nobody else knows the bit. Who reads the bytes
 * themselves ({@link TableMemory.memory}) sees it. (TDX has it the other way round: a bit that is set where memory is
 * shared.)
 */
export interface TableMemory {
  readonly memory: PhysMemory;
  /** The machine's encryption bit in an entry's high half, as the bytes have it; 0: it has none. */
  readonly encryption: number;
  /** What a CPU loads to run on a root: private memory, as all tables are. @param pcid 0 to 4095 */
  cr3(root: Frame, pcid?: number): bigint;
  /** Entry stores so far; a copied table counts 512. */
  readonly stores: number;
  /** Of these, stores a kernel with a single copy would not have made: to tables of a copy, and {@link forCopy}. */
  readonly replicaStores: number;
  low(table: Frame, index: number): number;
  high(table: Frame, index: number): number;
  /** Stores one entry. */
  write(table: Frame, index: number, lo: number, hi: number): void;
  /**
   * Copies entries [first, end) from one table to another: each by {@link write} where somebody stands before that, or
   * wants to hear of each.
   */
  copy(from: Frame, to: Frame, first: number, end: number): void;
  /** Makes a new table empty; not counted among the stores. */
  clear(table: Frame): void;
  /**
   * Says that a table is a copy's, which a kernel with a single copy would not have: stores to it count as replica
   * stores from now on, until it is {@link disown}ed. Whoever makes such a table says so before the first store.
   */
  adopt(table: Frame): void;
  /** A table is no copy's any more: it is given back, or stands for a single copy's from now on. */
  disown(table: Frame): void;
  /** Whether a table is a copy's. */
  isCopy(table: Frame): boolean;
  /**
   * Counts every store of `work` as a copy's, whichever table it hits: what the tables that all share say about a
   * copy's own memory.
   */
  forCopy<T>(work: () => T): T;
  /**
   * At most one listener; undefined takes it away. Reads that no copy makes are not told: the walks of callers, which
   * any kernel makes.
   */
  listen(traffic: ReplicaTraffic | undefined): void;
  /** At most one observer; undefined takes it away. @param ofRuns what spares it to be told of each entry of a copy */
  observe(observer: StoreObserver | undefined, ofRuns?: RunObserver): void;
}
export const TableMemory = token<TableMemory>("mm-core/TableMemory");
