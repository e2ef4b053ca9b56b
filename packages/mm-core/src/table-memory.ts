/**
 * Page-table entries in physical memory: the only place of the kernel that stores one, so that stores are counted once and a
 * checker or a replay can watch them.
 */
import { inject, injectable, token } from "@kreplica/di";
import { type Frame, Machine, type PhysMemory } from "@kreplica/hw-x86/api";

/** Told of every table store, after it happened. */
export type StoreObserver = (table: Frame, index: number) => void;

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

  constructor(@inject(Machine) machine: Machine) {
    this.memory = machine.memory;
  }

  low(table: Frame, index: number): number { return this.memory.read32(table, index * 2); }
  high(table: Frame, index: number): number { return this.memory.read32(table, index * 2 + 1); }

  write(table: Frame, index: number, lo: number, hi: number, replica = false): void {
    this.memory.write32(table, index * 2 + 1, hi >>> 0);
    this.memory.write32(table, index * 2, lo >>> 0);
    this.stores++;
    if (replica) this.replicaStores++;
    this.observer?.(table, index);
  }

  copy(from: Frame, to: Frame, first: number, end: number, replica = false): void {
    for (let index = first; index < end; index++) this.write(to, index, this.low(from, index), this.high(from, index), replica);
  }

  observe(observer: StoreObserver | undefined): void { this.observer = observer; }
}
