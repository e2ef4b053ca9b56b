/**
 * Page-table entries in physical memory: the only place of the kernel that stores one, so that stores are counted once,
 * a checker can watch them and a replay can issue them.
 */
import { inject, injectable } from "@kreplica/di";
import {
  encryptionHigh,
  type Frame,
  isPresent,
  Machine,
  PAGE_BYTES,
  physicalPageOf,
  type PhysMemory,
} from "@kreplica/hw-x86/api";
import {
  type ReplicaTraffic,
  type RunObserver,
  SHARED_HIGH,
  type StoreObserver,
  type TableMemory,
} from "./table-memory-api.js";

/** Page-table entries in physical memory: the only place of the kernel that stores one, so stores are counted once. */
@injectable()
export class CountedTableMemory implements TableMemory {
  readonly memory: PhysMemory;
  readonly encryption: number;
  private readonly cr3Encryption: bigint;
  stores = 0;
  replicaStores = 0;
  private observer: StoreObserver | undefined;
  private ofRuns: RunObserver | undefined;
  private traffic: ReplicaTraffic | undefined;
  /** Tables of copies. */
  private readonly copies = new Set<Frame>();
  /** How many {@link forCopy} are under way, one within another. */
  private forCopies = 0;

  constructor(@inject(Machine) machine: Machine) {
    this.memory = machine.memory;
    const place = machine.spec.encryptionBit;
    this.encryption = encryptionHigh(place);
    this.cr3Encryption = place === undefined ? 0n : 1n << BigInt(place);
  }

  cr3(root: Frame, pcid = 0): bigint {
    // A frame's address is below 2^52, a number exactly: one conversion in place of two and a sum.
    const value = BigInt(physicalPageOf(root) * PAGE_BYTES + pcid);
    return this.encryption === 0 ? value : value | this.cr3Encryption;
  }

  low(table: Frame, index: number): number {
    return this.memory.read32(table, index * 2);
  }
  high(table: Frame, index: number): number {
    const hi = this.memory.read32(table, index * 2 + 1);
    if (this.encryption === 0 || !isPresent(this.low(table, index))) return hi;
    return (hi & this.encryption) === 0 ? hi | SHARED_HIGH : (hi & ~this.encryption) >>> 0;
  }

  /**
   * The high half as the machine is to read it. An absent entry keeps what it says of sharing for when it comes back.
   */
  private bytesOf(lo: number, hi: number): number {
    if (this.encryption === 0) return hi & ~SHARED_HIGH;
    if (!isPresent(lo)) return hi;
    return (hi & SHARED_HIGH) === 0 ? hi | this.encryption : hi & ~SHARED_HIGH;
  }

  write(table: Frame, index: number, lo: number, hi: number): void {
    const { memory } = this;
    hi = this.bytesOf(lo, hi);
    if (memory.firstWordToWrite) {
      const word = memory.firstWordToWrite(table) + index * 2;
      // Asked for after the place: writing may move all of them.
      const words = memory.words!;
      words[word + 1] = hi;
      words[word] = lo;
    } else {
      memory.write32(table, index * 2 + 1, hi >>> 0);
      memory.write32(table, index * 2, lo >>> 0);
    }
    this.stores++;
    if (this.counts(table)) {
      this.replicaStores++;
      this.traffic?.store(table, index);
    }
    this.observer?.(table, index);
  }

  copy(from: Frame, to: Frame, first: number, end: number): void {
    const counts = this.counts(to);
    if (this.copyAtOnce(from, to, first, end, counts)) return;
    for (let index = first; index < end; index++) {
      if (counts) this.traffic?.load(from, index);
      // By the method itself: whoever stands before it hears of each entry.
      this.write(to, index, this.low(from, index), this.high(from, index));
    }
  }

  /** @returns whether nobody wants to hear of each entry, and all are copied */
  private copyAtOnce(from: Frame, to: Frame, first: number, end: number, counts: boolean): boolean {
    const { memory, observer, ofRuns } = this;
    if (!memory.firstWordToWrite || this.write !== CountedTableMemory.prototype.write) return false;
    if ((counts && this.traffic) || (observer && !ofRuns?.(to, first, end))) return false;
    const target = memory.firstWordToWrite(to) + first * 2;
    const source = memory.firstWord!(from);
    memory.words!.copyWithin(target, source + first * 2, source + end * 2);
    this.stores += end - first;
    if (counts) this.replicaStores += end - first;
    return true;
  }

  clear(table: Frame): void {
    this.memory.clearFrame(table);
    if (this.counts(table)) this.traffic?.clear(table);
  }

  adopt(table: Frame): void {
    this.copies.add(table);
  }

  disown(table: Frame): void {
    this.copies.delete(table);
  }

  isCopy(table: Frame): boolean {
    return this.copies.has(table);
  }

  forCopy<T>(work: () => T): T {
    this.forCopies++;
    try {
      return work();
    } finally {
      this.forCopies--;
    }
  }

  private counts(table: Frame): boolean {
    return this.forCopies > 0 || this.copies.has(table);
  }

  listen(traffic: ReplicaTraffic | undefined): void {
    this.traffic = traffic;
  }

  observe(observer: StoreObserver | undefined, ofRuns?: RunObserver): void {
    this.observer = observer;
    this.ofRuns = ofRuns;
  }
}
