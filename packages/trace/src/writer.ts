/** KTRC1 records from columns to bytes, a piece at a time: what {@link TraceDecoder} reads. Memory does not grow. */
import { Access, type Batch, Kind } from "./batch.js";
import { LONGEST_RECORD, MAGIC } from "./decoder.js";

const PIECE = 1 << 16; // bytes handed on at a time
const VCPUS = 4096;
const PAGES_4G = 0x10_0000;

/** Gets the bytes of a recording in order. The array is used again: copy what must stay. */
export type ByteSink = (part: Uint8Array) => void;

/** Writes one recording. Call {@link end} last: what it was given before may still be held back. */
export class TraceWriter {
  private readonly out = new Uint8Array(PIECE);
  private filled = 0;
  // Per virtual CPU: the address the next sequential fetch has, and the last load's and store's.
  private readonly lo = new Uint32Array(VCPUS * 3);
  private readonly hi = new Uint32Array(VCPUS * 3);
  private current = 0;

  constructor(private readonly sink: ByteSink) {
    for (const letter of MAGIC) this.out[this.filled++] = letter.charCodeAt(0);
  }

  /** Virtual CPU of the next record. */
  get vcpu(): number {
    return this.current;
  }

  /** A record as it was decoded; the END of another recording is none of this one's. */
  record({ kind, lo, hi, a, b }: Batch, row: number): void {
    switch (kind[row] as Kind) {
      case Kind.Fetch:
        return this.fetch(lo[row]!, hi[row]!, a[row]!, b[row]!);
      case Kind.Load:
      case Kind.Store:
        return this.access(kind[row]!, lo[row]!, hi[row]!, a[row]!, b[row]!);
      case Kind.Vcpu:
        return this.onVcpu(a[row]!);
      case Kind.Mark:
        return this.mark(a[row]!);
      case Kind.FetchPage:
        return this.fetchPage(lo[row]!, hi[row]!, b[row]!);
      case Kind.Repeat:
        return this.repeat(a[row]!);
      case Kind.End:
    }
  }

  /** Records from here on belong to this virtual CPU, 0 to 4095. @param always written though it is the same */
  onVcpu(id: number, always = false): void {
    if (id === this.current && !always) return;
    this.current = id;
    this.meta(1);
    this.number(id, 0);
  }

  /** @param immediate 0x5EED0000 | test << 8 | phase */
  mark(immediate: number): void {
    this.meta(2);
    this.number(immediate, 0);
  }

  /** @param iterations of the REP instruction that the last fetch ended with */
  repeat(iterations: number): void {
    this.meta(4);
    this.number(iterations, 0);
  }

  /** The physical page behind a page of text, before a fetch from it. */
  fetchPage(lo: number, hi: number, page: number): void {
    this.meta(3);
    const slot = this.current * 3;
    // Page numbers have 52 bits: exact in a double, and so is twice their difference.
    const difference = (hi - this.hi[slot]!) * PAGES_4G + (lo >>> 12) - (this.lo[slot]! >>> 12);
    const zigzag = difference < 0 ? -2 * difference - 1 : 2 * difference;
    this.number(zigzag >>> 0, Math.floor(zigzag / 0x1_0000_0000));
    this.number(page, 0);
  }

  /** @param lo low half of the first byte of a run of instructions one behind the other */
  fetch(lo: number, hi: number, instructions: number, bytes: number): void {
    this.room();
    const slot = this.current * 3;
    const jump = lo !== this.lo[slot] || hi !== this.hi[slot];
    this.out[this.filled++] = (Math.min(instructions, 31) << 3) | (jump ? 4 : 0);
    if (instructions >= 31) this.number(instructions - 31, 0);
    if (jump) this.difference(lo, hi, slot);
    this.number(bytes, 0);
    const end = lo + bytes;
    this.lo[slot] = end;
    this.hi[slot] = end > 0xffff_ffff ? hi + 1 : hi;
  }

  /**
   * A load or store of the last instruction fetched.
   *
   * @param kind Kind.Load or Kind.Store
   * @param a size in bytes, a power of two from 1 to 128, with Access.Io and Access.NewPage
   * @param page physical page, when either is set
   * @param device the device's physical page, where it is another; its register has the address's place in it
   */
  access(kind: number, lo: number, hi: number, a: number, page: number, device = page): void {
    this.room();
    const size = 31 - Math.clz32(a & Access.SizeMask);
    const fresh = (a & Access.NewPage) !== 0;
    this.out[this.filled++] = kind | (size << 2) | ((a & Access.Io) === 0 ? 0 : 0x20) | (fresh ? 0x40 : 0);
    this.difference(lo, hi, this.current * 3 + kind);
    this.lo[this.current * 3 + kind] = lo;
    this.hi[this.current * 3 + kind] = hi;
    if ((a & Access.Io) !== 0) this.number((device << 12) | (lo & 0xfff), device >>> 20);
    if (fresh) this.number(page, 0);
  }

  /** Nothing follows: hands on what is left. */
  end(): void {
    this.meta(0);
    this.flush();
  }

  /** Hands on what was written so far. */
  flush(): void {
    if (this.filled > 0) this.sink(this.out.subarray(0, this.filled));
    this.filled = 0;
  }

  private meta(sub: number): void {
    this.room();
    this.out[this.filled++] = (sub << 2) | 3;
  }

  private room(): void {
    if (this.filled + LONGEST_RECORD > PIECE) this.flush();
  }

  /** The zigzag difference to the address in a slot. */
  private difference(lo: number, hi: number, slot: number): void {
    const low = (lo - this.lo[slot]!) >>> 0;
    const high = hi - this.hi[slot]! - (lo < this.lo[slot]! ? 1 : 0);
    const sign = high >> 31;
    this.number(((low << 1) ^ sign) >>> 0, (((high << 1) | (low >>> 31)) ^ sign) >>> 0);
  }

  private number(low: number, high: number): void {
    let [lo, hi] = [low >>> 0, high >>> 0];
    while (hi !== 0 || lo >= 128) {
      this.out[this.filled++] = (lo & 127) | 128;
      lo = ((lo >>> 7) | (hi << 25)) >>> 0;
      hi >>>= 7;
    }
    this.out[this.filled++] = lo;
  }
}
