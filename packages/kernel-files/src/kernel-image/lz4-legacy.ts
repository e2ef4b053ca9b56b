/**
 * The LZ4 "legacy frame" in which `make bzImage` packs kernels: magic, then blocks of a 32-bit length and LZ4 data, 8
 * MiB each when unpacked.
 *
 * Ours because the npm libraries either do not read this frame or copy garbage silently from damaged data:
 * docs/decisions/006. Source: lz4 project, "LZ4 Frame Format Description", "Legacy frame"; "LZ4 Block Format
 * Description".
 */

export const LZ4_LEGACY_MAGIC = 0x184c_2102;
const BLOCK_BYTES = 8 << 20;

/** Where packed data stopped making sense: an offset into it, and why. */
export class Lz4Fault {
  constructor(
    readonly offset: number,
    readonly reason: string,
  ) {}
}

/** Unpacks a whole legacy frame into `out`. @returns bytes written, or the fault */
export function unpackLz4Legacy(packed: Uint8Array, out: Uint8Array): number | Lz4Fault {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  if (packed.length < 4 || view.getUint32(0, true) !== LZ4_LEGACY_MAGIC) return new Lz4Fault(0, "no LZ4 legacy frame");
  let at = 4;
  let written = 0;
  while (at < packed.length) {
    if (at + 4 > packed.length) return new Lz4Fault(at, "cut inside a block's length");
    const length = view.getUint32(at, true);
    at += 4;
    // The packer of large images may write several frames one behind the other.
    if (length === LZ4_LEGACY_MAGIC) continue;
    if (length > packed.length - at)
      return new Lz4Fault(at - 4, `a block of ${length} bytes where ${packed.length - at} are left`);
    const end = unpackBlock(packed, at, at + length, out, written, Math.min(out.length, written + BLOCK_BYTES));
    if (typeof end !== "number") return end;
    written = end;
    at += length;
  }
  return written;
}

/** @param to first byte of `out` this block may not write @returns where writing ended */
function unpackBlock(
  packed: Uint8Array,
  at: number,
  end: number,
  out: Uint8Array,
  from: number,
  to: number,
): number | Lz4Fault {
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
    if (literals > to - put) return new Lz4Fault(start, "unpacks to more than the declared length or 8 MiB a block");
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
    if (distance === 0 || distance > put - from)
      return new Lz4Fault(start, `a match ${distance} bytes back, ${put - from} bytes into the block`);
    if (length > to - put) return new Lz4Fault(start, "unpacks to more than the declared length or 8 MiB a block");
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
