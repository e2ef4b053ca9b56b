/**
 * The memory that programs see when they run in the interpreter: regions of a modelled 64-bit address space, each with
 * its own bytes. No address is a JavaScript reference, so a program that computes a wrong one faults as hardware would.
 *
 * Loads and stores allocate nothing; the value of a load is left in `lo` and `hi`.
 */
import { type AddressRange, bytesAt, hex, PAGE } from "@kreplica/hw-x86/api";
import { invariant } from "./errors.js";

/** What interpreter, maps and helpers need of memory; the model's CPUs and page tables can stand behind it as well. */
export interface BpfMemory {
  /** Low half of the value last loaded, Int32. */
  lo: number;
  /** High half of the value last loaded, Int32; 0 for loads below 8 bytes. */
  hi: number;
  /** @param bytes 1, 2, 4 or 8 @returns false when the access faults; then `lo` and `hi` are unchanged */
  load(addressHi: number, addressLo: number, bytes: number): boolean;
  /** @returns false when the access faults; then nothing was written */
  store(addressHi: number, addressLo: number, bytes: number, valueHi: number, valueLo: number): boolean;
  /** Takes zeroed memory. @param what shown in dumps @returns its address, 4 KiB aligned */
  allocate(bytes: number, what: string): bigint;
  /** Gives back what {@link allocate} returned. */
  release(address: bigint): void;
  /** Copy of a range; cold. @returns undefined when it is not all mapped in one piece */
  read(range: AddressRange): Uint8Array | undefined;
  /** Writes a range whatever its permission; cold. @returns false when it is not all mapped in one piece */
  write(address: bigint, bytes: Uint8Array): boolean;
}

/** One piece of mapped memory. */
export interface Region {
  readonly base: bigint;
  readonly bytes: Uint8Array;
  readonly writable: boolean;
  readonly what: string;
}

interface Slot extends Region {
  readonly baseLo: number;
  readonly baseHi: number;
  readonly view: DataView;
}

/**
 * Memory as a sorted list of regions that never touch: an unmapped guard page lies behind each that it places itself.
 */
export class RegionMemory implements BpfMemory {
  lo = 0;
  hi = 0;
  /** Address of the access that faulted last, for messages. */
  faultHi = 0;
  faultLo = 0;
  private readonly slots: Slot[] = [];
  private recent: Slot | undefined;
  private next: bigint;

  /** @param first where {@link allocate} begins */
  constructor(first = 0xffff_c900_0000_0000n) {
    this.next = first;
  }

  /** Maps the caller's own array at a fixed address. */
  map(base: bigint, bytes: Uint8Array, writable: boolean, what: string): void {
    const end = base + BigInt(bytes.length);
    let at = 0;
    while (at < this.slots.length && this.slots[at]!.base < base) at++;
    const before = this.slots[at - 1],
      after = this.slots[at];
    invariant(
      (!before || before.base + BigInt(before.bytes.length) <= base) && (!after || end <= after.base),
      `region ${what} overlaps another`,
    );
    this.slots.splice(at, 0, {
      base,
      bytes,
      writable,
      what,
      baseLo: Number(BigInt.asIntN(32, base)),
      baseHi: Number(BigInt.asIntN(32, base >> 32n)),
      view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    });
    this.recent = undefined;
  }

  /** All regions, lowest first: what a test or a dump looks at. */
  regions(): readonly Region[] {
    return this.slots;
  }

  allocate(bytes: number, what: string): bigint {
    const base = this.next;
    this.next += ((BigInt(bytes) + 2n * PAGE - 1n) / PAGE) * PAGE;
    this.map(base, new Uint8Array(bytes), true, what);
    return base;
  }

  release(address: bigint): void {
    const at = this.slots.findIndex((slot) => slot.base === address);
    invariant(at >= 0, `${hex(address)} was not allocated here`);
    this.slots.splice(at, 1);
    this.recent = undefined;
  }

  load(addressHi: number, addressLo: number, bytes: number): boolean {
    const slot = this.find(addressHi, addressLo);
    const at = slot ? (addressLo - slot.baseLo) >>> 0 : 0;
    if (!slot || at + bytes > slot.bytes.length) {
      this.faultHi = addressHi;
      this.faultLo = addressLo;
      return false;
    }
    this.hi = 0;
    if (bytes === 8) {
      this.lo = slot.view.getInt32(at, true);
      this.hi = slot.view.getInt32(at + 4, true);
    } else if (bytes === 4) this.lo = slot.view.getInt32(at, true);
    else if (bytes === 2) this.lo = slot.view.getUint16(at, true);
    else this.lo = slot.bytes[at]!;
    return true;
  }

  store(addressHi: number, addressLo: number, bytes: number, valueHi: number, valueLo: number): boolean {
    const slot = this.find(addressHi, addressLo);
    const at = slot ? (addressLo - slot.baseLo) >>> 0 : 0;
    if (!slot || !slot.writable || at + bytes > slot.bytes.length) {
      this.faultHi = addressHi;
      this.faultLo = addressLo;
      return false;
    }
    if (bytes === 8) {
      slot.view.setInt32(at, valueLo, true);
      slot.view.setInt32(at + 4, valueHi, true);
    } else if (bytes === 4) slot.view.setInt32(at, valueLo, true);
    else if (bytes === 2) slot.view.setInt16(at, valueLo, true);
    else slot.bytes[at] = valueLo;
    return true;
  }

  read(range: AddressRange): Uint8Array | undefined {
    const slot = this.piece(range);
    if (!slot) return undefined;
    return slot.bytes.slice(Number(range.start - slot.base), Number(range.end - slot.base));
  }

  write(address: bigint, bytes: Uint8Array): boolean {
    const slot = this.piece(bytesAt(address, bytes.length));
    if (!slot) return false;
    slot.bytes.set(bytes, Number(address - slot.base));
    return true;
  }

  private piece({ start, end }: AddressRange): Slot | undefined {
    const slot = this.find(Number(BigInt.asIntN(32, start >> 32n)), Number(BigInt.asIntN(32, start)));
    return slot && end - slot.base <= BigInt(slot.bytes.length) ? slot : undefined;
  }

  /** Region that holds the address. A region is below 2 GiB, so one 32-bit difference with its borrow decides. */
  private find(hi: number, lo: number): Slot | undefined {
    const recent = this.recent;
    if (recent && holds(recent, hi, lo)) return recent;
    for (const slot of this.slots) if (holds(slot, hi, lo)) return (this.recent = slot);
    return undefined;
  }
}

const holds = (slot: Slot, hi: number, lo: number): boolean => {
  const low = (lo - slot.baseLo) >>> 0;
  const borrow = lo >>> 0 < slot.baseLo >>> 0 ? 1 : 0;
  return ((hi - slot.baseHi - borrow) | 0) === 0 && low < slot.bytes.length;
};
