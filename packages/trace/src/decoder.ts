/**
 * KTRC1 records from bytes to columns. Resumable at any record, allocates nothing per record.
 *
 *   FETCH   i i i i i J 0 0   [v: n - 31]  [z: pc - expected]  v: bytes      i = min(instructions, 31)
 *   ACCESS  0 N I s s s k k   z: address - last  [v: physical address]  [v: physical page]
 *   META    u u u u u u 1 1   u: 0 END, 1 VCPU v, 2 MARK v, 3 FPAGE z v, 4 REP v
 *
 * k: 1 load, 2 store; 1 << s bytes; I: port or device; N: physical page follows. v is LEB128, z a zigzag v.
 */
import { Access, Kind, type Batch } from "./batch.js";
import { TraceError } from "./trace-error.js";

/** First bytes of every recording. */
export const MAGIC = "KTRC1\n";
/** No record is longer: a tag and three varints of ten bytes. */
export const LONGEST_RECORD = 31;

const VCPUS = 4096;
const PAGES_4G = 0x10_0000; // 4 KiB pages in 4 GiB: the upper half of an address, in pages

/** Decodes one recording, a piece at a time. */
export class TraceDecoder {
  /** Bytes of the decompressed stream before the piece that {@link decode} is given next, magic included. */
  offset = MAGIC.length;
  /** An END record was seen. */
  ended = false;

  // Per virtual CPU: the address the next sequential fetch has, and the last load's and store's.
  private readonly lo = new Uint32Array(VCPUS * 3);
  private readonly hi = new Uint32Array(VCPUS * 3);
  private vcpu = 0;

  // What wide() read: two halves.
  private wideLo = 0;
  private wideHi = 0;

  /** @param file as errors name it */
  constructor(private readonly file: string) {}

  /**
   * Decodes records of `bytes[from, to)` into the batch, behind what it holds, until the batch is full or the next
   * record may reach beyond `to`. With `last` set nothing follows `to`, so every record is decoded; bytes beyond it
   * must be absent or zero.
   *
   * @returns the position of the first record that was not decoded; the caller adds what was used up to {@link offset}
   * @throws TraceError unknown-record, long-number, cut, after-end
   */
  decode(bytes: Uint8Array, from: number, to: number, last: boolean, batch: Batch): number {
    const safe = last ? to : to - LONGEST_RECORD;
    const { kind, lo, hi, a, b, at: begins, capacity } = batch;
    let row = batch.length;
    if (row === 0) batch.base = this.offset;
    const before = this.offset - batch.base - from;
    let at = from;
    let base = this.vcpu * 3;
    while (at < safe && row < capacity) {
      const start = at;
      begins[row] = before + start;
      const tag = bytes[at++]!;
      if (this.ended) throw this.afterEnd(start - from);
      const what = tag & 3;
      if (what === 3) {
        at = this.meta(bytes, from, at, tag >> 2, batch, row);
        base = this.vcpu * 3;
      } else {
        let count = 0;
        if (what === 0) {
          count = tag >> 3;
          if (count === 31) {
            at = this.wide(bytes, at, from);
            count = 31 + this.small(start - from);
          }
        }
        const slot = base + what;
        let nextLo = this.lo[slot]!;
        let nextHi = this.hi[slot]!;
        if (what !== 0 || (tag & 4) !== 0) {
          // A zigzag difference. Up to 28 bits, nearly always, stay in one number; the rest takes the long way.
          let z = bytes[at]!;
          if (z < 0x80) at++;
          else {
            z = (z & 0x7f) | (bytes[at + 1]! << 7);
            if (z < 0x4000) at += 2;
            else {
              z = (z & 0x3fff) | (bytes[at + 2]! << 14);
              if (z < 0x20_0000) at += 3;
              else {
                z = (z & 0x1f_ffff) | (bytes[at + 3]! << 21);
                if (z < 0x1000_0000) at += 4;
                else z = -1;
              }
            }
          }
          if (z >= 0) {
            const sum = nextLo + ((z >>> 1) ^ -(z & 1));
            if (sum < 0) nextHi--;
            else if (sum > 0xffff_ffff) nextHi++;
            nextLo = sum;
          } else {
            at = this.wide(bytes, at, from);
            const sign = -(this.wideLo & 1);
            const sum = nextLo + ((((this.wideLo >>> 1) | (this.wideHi << 31)) ^ sign) >>> 0);
            nextHi += ((this.wideHi >>> 1) ^ sign) + (sum > 0xffff_ffff ? 1 : 0);
            nextLo = sum;
          }
        }
        kind[row] = what;
        lo[row] = nextLo;
        hi[row] = nextHi;
        if (what === 0) {
          let long = bytes[at]!;
          if (long < 0x80) at++;
          else {
            at = this.wide(bytes, at, from);
            long = this.small(start - from);
          }
          a[row] = count;
          b[row] = long;
          const end = lo[row]! + long;
          this.lo[slot] = end;
          this.hi[slot] = end > 0xffff_ffff ? nextHi + 1 : nextHi;
        } else {
          let size = 1 << ((tag >> 2) & 7);
          if ((tag & 0x60) !== 0) {
            if ((tag & 0x20) !== 0) {
              size |= Access.Io;
              at = this.wide(bytes, at, from);
              b[row] = (this.wideLo >>> 12) | (this.wideHi << 20);
            }
            if ((tag & 0x40) !== 0) {
              size |= Access.NewPage;
              at = this.wide(bytes, at, from);
              b[row] = this.small(start - from);
            }
          }
          a[row] = size;
          this.lo[slot] = nextLo;
          this.hi[slot] = nextHi;
        }
      }
      if (at > to)
        throw new TraceError(
          "cut",
          this.file,
          this.offset + start - from,
          "the recording ends inside a record",
          "copy the file again, in full",
        );
      row++;
    }
    batch.length = row;
    this.offset += at - from;
    return at;
  }

  /** One META record into a row. @returns the position after it */
  private meta(bytes: Uint8Array, from: number, position: number, sub: number, batch: Batch, row: number): number {
    let at = position;
    if (sub === 0) {
      batch.kind[row] = Kind.End;
      this.ended = true;
      return at;
    }
    if (sub > 4) {
      throw new TraceError(
        "unknown-record",
        this.file,
        this.offset + at - 1 - from,
        `a record of unknown kind ${sub} starts here`,
        "record it again, or cut the file before it",
      );
    }
    if (sub === 3) {
      at = this.wide(bytes, at, from);
      // Page numbers have 52 bits: exact in a double.
      const difference =
        ((this.wideLo & 1) !== 0 ? -1 : 1) * ((this.wideHi * 0x1_0000_0000 + this.wideLo + (this.wideLo & 1)) / 2);
      const page = this.hi[this.vcpu * 3]! * PAGES_4G + (this.lo[this.vcpu * 3]! >>> 12) + difference;
      batch.kind[row] = Kind.FetchPage;
      batch.lo[row] = page << 12; // modulo 2^32, as wanted
      batch.hi[row] = Math.floor(page / PAGES_4G);
      at = this.wide(bytes, at, from);
      batch.b[row] = this.small(at - from);
      return at;
    }
    at = this.wide(bytes, at, from);
    if (sub === 1) {
      this.vcpu = this.small(at - from);
      if (this.vcpu >= VCPUS) this.tooLarge(at - from, `virtual CPU ${this.vcpu} of at most ${VCPUS}`);
    }
    batch.kind[row] = sub === 1 ? Kind.Vcpu : sub === 2 ? Kind.Mark : Kind.Repeat;
    batch.a[row] = sub === 4 && this.wideHi !== 0 ? 0xffff_ffff : this.wideLo;
    return at;
  }

  /** Reads a varint of up to ten bytes into wideLo, wideHi (modulo 2^64). @returns the position after it */
  private wide(bytes: Uint8Array, position: number, from: number): number {
    let lo = 0;
    let hi = 0;
    let at = position;
    for (let shift = 0; ; shift += 7) {
      if (shift > 63) this.tooLarge(position - from, "a number of more than ten bytes");
      // Beyond the end reads as 0, which ends the number; decode() then sees that the record was cut.
      const byte = bytes[at++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 28) lo |= bits << shift;
      else if (shift === 28) {
        lo |= bits << 28;
        hi = bits >>> 4;
      } else hi |= bits << (shift - 32);
      if (byte < 0x80) break;
    }
    this.wideLo = lo >>> 0;
    this.wideHi = hi >>> 0;
    return at;
  }

  /** What wide() read, where the field has 32 bits. */
  private small(used: number): number {
    if (this.wideHi !== 0) this.tooLarge(used, "a count or page beyond 32 bits");
    return this.wideLo;
  }

  private tooLarge(used: number, what: string): never {
    throw new TraceError(
      "long-number",
      this.file,
      this.offset + used,
      `${what} cannot be part of a recording`,
      "the file is damaged here: copy or record it again",
    );
  }

  private afterEnd(used: number): TraceError {
    return new TraceError(
      "after-end",
      this.file,
      this.offset + used,
      "bytes follow the END record",
      "cut the file here, or keep one recording per file",
    );
  }
}
