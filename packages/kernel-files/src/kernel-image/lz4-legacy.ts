/**
 * The LZ4 "legacy frame" in which `make bzImage` packs kernels: magic, then blocks of a 32-bit length and LZ4 data, 8
 * MiB each when unpacked.
 *
 * Ours because the npm libraries either do not read this frame or copy garbage silently from damaged data:
 * docs/decisions/006. Source: lz4 project, "LZ4 Frame Format Description", "Legacy frame"; "LZ4 Block Format
 * Description".
 */

import { Lz4Fault, unpackLz4Block } from "@kreplica/inputs";

export const LZ4_LEGACY_MAGIC = 0x184c_2102;
const BLOCK_BYTES = 8 << 20;
const TOO_MUCH = "unpacks to more than the declared length or 8 MiB a block";

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
    const room = { from: written, to: Math.min(out.length, written + BLOCK_BYTES), lowest: written };
    const end = unpackLz4Block(packed, at, at + length, out, room, TOO_MUCH);
    if (typeof end !== "number") return end;
    written = end;
    at += length;
  }
  return written;
}
