/** Page-table entries in physical memory, and who is told of stores to them: interfaces and token. */
import { token } from "@kreplica/di";
import type { Frame, PhysMemory } from "@kreplica/hw-x86/api";

/** Told of every table store, after it happened. */
export type StoreObserver = (table: Frame, index: number) => void;

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

/** Entries of page tables, as halves. */
export interface TableMemory {
  readonly memory: PhysMemory;
  /** Entry stores so far; a copied table counts 512. */
  readonly stores: number;
  /** Of these, stores a kernel with a single copy would not have made. */
  readonly replicaStores: number;
  low(table: Frame, index: number): number;
  high(table: Frame, index: number): number;
  /** Stores one entry. @param replica whether a single copy would not need it */
  write(table: Frame, index: number, lo: number, hi: number, replica?: boolean): void;
  /** Copies entries [first, end) from one table to another. */
  copy(from: Frame, to: Frame, first: number, end: number, replica?: boolean): void;
  /** Makes a new table empty; not counted among the stores. */
  clear(table: Frame, replica?: boolean): void;
  /**
   * At most one listener; undefined takes it away. Reads that no copy makes are not told: the walks of callers, which
   * any kernel makes.
   */
  listen(traffic: ReplicaTraffic | undefined): void;
  /** At most one observer; undefined takes it away. */
  observe(observer: StoreObserver | undefined): void;
}
export const TableMemory = token<TableMemory>("mm-core/TableMemory");
