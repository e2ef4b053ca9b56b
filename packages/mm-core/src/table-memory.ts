/**
 * Page-table entries in physical memory: the only place of the kernel that stores one, so that stores are counted once, a checker
 * can watch them and a replay can issue them.
 */
import { inject, injectable, token } from "@kreplica/di";
import { type Frame, Machine, type PhysMemory } from "@kreplica/hw-x86/api";

/** Told of every table store, after it happened. */
export type StoreObserver = (table: Frame, index: number) => void;

/** Told of every access to a table that a kernel with a single copy would not make, in order: what a replay sends through a CPU. */
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
  /** At most one listener; undefined takes it away. Reads that no copy makes are not told: the walks of callers, which any kernel makes. */
  listen(traffic: ReplicaTraffic | undefined): void;
  /** At most one observer; undefined takes it away. */
  observe(observer: StoreObserver | undefined): void;
}
export const TableMemory = token<TableMemory>("mm-core/TableMemory");

@injectable()
export class CountedTableMemory implements TableMemory {
  readonly memory: PhysMemory;
  stores = 0;
  replicaStores = 0;
  private observer: StoreObserver | undefined;
  private traffic: ReplicaTraffic | undefined;

  constructor(@inject(Machine) machine: Machine) {
    this.memory = machine.memory;
  }

  low(table: Frame, index: number): number { return this.memory.read32(table, index * 2); }
  high(table: Frame, index: number): number { return this.memory.read32(table, index * 2 + 1); }

  write(table: Frame, index: number, lo: number, hi: number, replica = false): void {
    this.memory.write32(table, index * 2 + 1, hi >>> 0);
    this.memory.write32(table, index * 2, lo >>> 0);
    this.stores++;
    if (replica) {
      this.replicaStores++;
      this.traffic?.store(table, index);
    }
    this.observer?.(table, index);
  }

  copy(from: Frame, to: Frame, first: number, end: number, replica = false): void {
    for (let index = first; index < end; index++) {
      if (replica) this.traffic?.load(from, index);
      this.write(to, index, this.low(from, index), this.high(from, index), replica);
    }
  }

  clear(table: Frame, replica = false): void {
    this.memory.clearFrame(table);
    if (replica) this.traffic?.clear(table);
  }

  listen(traffic: ReplicaTraffic | undefined): void { this.traffic = traffic; }

  observe(observer: StoreObserver | undefined): void { this.observer = observer; }
}
