/**
 * Page-table entries in physical memory: the only place of the kernel that stores one, so that stores are counted once,
 * a checker can watch them and a replay can issue them.
 */
import { inject, injectable } from "@kreplica/di";
import { type Frame, Machine, type PhysMemory } from "@kreplica/hw-x86/api";
import type { ReplicaTraffic, StoreObserver, TableMemory } from "./table-memory-api.js";

/** Page-table entries in physical memory: the only place of the kernel that stores one, so stores are counted once. */
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

  low(table: Frame, index: number): number {
    return this.memory.read32(table, index * 2);
  }
  high(table: Frame, index: number): number {
    return this.memory.read32(table, index * 2 + 1);
  }

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

  listen(traffic: ReplicaTraffic | undefined): void {
    this.traffic = traffic;
  }

  observe(observer: StoreObserver | undefined): void {
    this.observer = observer;
  }
}
