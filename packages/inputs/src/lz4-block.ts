/**
 * One block of LZ4 data: literals and matches, whatever frame it comes in.
 *
 * @source lz4 project, "LZ4 Block Format Description"
 */

/** Where packed data stopped making sense: an offset into it, and why. */
export class Lz4Fault {
  constructor(
    readonly offset: number,
    readonly reason: string,
  ) {}
}

/** Where a block goes. */
export interface Lz4Room {
  /** First byte to write, and the first that may not be written. */
  readonly from: number;
  readonly to: number;
  /** First byte of what was unpacked before that a match may refer to; `from` where blocks are independent. */
  readonly lowest: number;
}

/**
 * @param at first byte of the block in `packed`, which ends before `end`
 * @param tooMuch reason of the fault where there is not room for all
 * @returns where writing ended, or the fault
 */
export function unpackLz4Block(
  packed: Uint8Array,
  at: number,
  end: number,
  out: Uint8Array,
  room: Lz4Room,
  tooMuch: string,
): number | Lz4Fault {
  const { from, to, lowest } = room;
  let put = from;
  while (at < end) {
    const start = at;
    const token = packed[at++]!;
    let literals = token >>> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255) {
        if (at >= end) return new Lz4Fault(start, "cut inside a length");
        more = packed[at++]!;
        literals += more;
      }
    }
    if (literals > end - at) return new Lz4Fault(start, `${literals} literal bytes where ${end - at} are left`);
    if (literals > to - put) return new Lz4Fault(start, tooMuch);
    out.set(packed.subarray(at, at + literals), put);
    at += literals;
    put += literals;
    // The last sequence of a block has no match.
    if (at === end) break;
    if (at + 2 > end) return new Lz4Fault(start, "cut inside a match");
    const distance = packed[at]! | (packed[at + 1]! << 8);
    at += 2;
    let length = (token & 15) + 4;
    if (length === 19) {
      let more = 255;
      while (more === 255) {
        if (at >= end) return new Lz4Fault(start, "cut inside a length");
        more = packed[at++]!;
        length += more;
      }
    }
    if (distance === 0 || distance > put - lowest)
      return new Lz4Fault(start, `a match ${distance} bytes back, ${put - from} bytes into the block`);
    if (length > to - put) return new Lz4Fault(start, tooMuch);
    if (distance >= length) {
      out.copyWithin(put, put - distance, put - distance + length);
      put += length;
    } else {
      // A match may overlap what it writes: that is how runs are packed.
      for (const stop = put + length; put < stop; put++) out[put] = out[put - distance]!;
    }
  }
  return put;
}
