/**
 * A whole zstd frame unpacked at once into one buffer. fzstd's stream moves its window along by every block, which for
 * the windows of 64 to 128 MiB that kernels are packed with is nearly all of its time; into a buffer of the right
 * length it needs none.
 *
 * Only what can be checked goes this way: a length that is known before and a checksum. All else is undefined here, and
 * the stream (zstd.ts) unpacks it, or says where it is wrong.
 *
 * Source: RFC 8878, "Zstandard Frames", "Skippable Frames".
 */
import { decompress } from "fzstd";
import xxhash from "xxhash-wasm";

const { create64 } = await xxhash();

const FRAME = 0xfd2f_b528;
const SKIPPABLE = 0x184d_2a50;
const LARGEST_BLOCK = 1 << 17;
const enum BlockType {
  Raw = 0,
  Run = 1,
  Packed = 2,
}

/** Where a frame ends, and what it says of itself. */
interface Extent {
  /** First byte behind it. */
  readonly end: number;
  /** Bytes it unpacks to; -1 where it does not say. */
  readonly declared: number;
  /** Bytes its blocks may unpack to at most. */
  readonly most: number;
  /** Low half of XXH64; undefined where there is none. */
  readonly checksum: number | undefined;
}

/** @returns undefined for what is cut or unusual */
function extentOf(packed: Uint8Array, view: DataView, from: number): Extent | undefined {
  if (from + 6 > packed.length) return undefined;
  const descriptor = packed[from + 4]!;
  // A reserved bit, or a dictionary.
  if ((descriptor & 11) !== 0) return undefined;
  const oneSegment = (descriptor & 0x20) !== 0;
  let at = from + (oneSegment ? 5 : 6);
  const lengthBytes = [oneSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6]!;
  if (at + lengthBytes > packed.length) return undefined;
  const declared =
    lengthBytes === 0
      ? -1
      : lengthBytes === 1
        ? packed[at]!
        : lengthBytes === 2
          ? view.getUint16(at, true) + 256
          : lengthBytes === 4
            ? view.getUint32(at, true)
            : Number(view.getBigUint64(at, true));
  at += lengthBytes;
  let most = 0;
  for (let last = false; !last;) {
    if (at + 3 > packed.length) return undefined;
    const head = packed[at]! | (packed[at + 1]! << 8) | (packed[at + 2]! << 16);
    const type = (head >>> 1) & 3;
    const bytes = head >>> 3;
    if (type > BlockType.Packed || bytes > LARGEST_BLOCK) return undefined;
    last = (head & 1) !== 0;
    most += type === BlockType.Packed ? LARGEST_BLOCK : bytes;
    at += 3 + (type === BlockType.Run ? 1 : bytes);
  }
  const end = at + ((descriptor & 4) === 0 ? 0 : 4);
  return end > packed.length
    ? undefined
    : { end, declared, most, checksum: end === at ? undefined : view.getUint32(at, true) };
}

/**
 * @param limit bytes all frames may unpack to
 * @param expected bytes that one frame unpacks to which does not say so itself
 * @returns undefined when any frame's length or checksum is unknown or does not hold
 */
export function unzstdWhole(
  packed: Uint8Array,
  limit: number,
  expected: number | undefined,
): Uint8Array<ArrayBuffer> | undefined {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for (let at = 0; at < packed.length;) {
    if (at + 8 > packed.length) return undefined;
    const magic = view.getUint32(at, true);
    if ((magic & ~15) >>> 0 === SKIPPABLE) {
      at += 8 + view.getUint32(at + 4, true);
      continue;
    }
    const extent = magic === FRAME ? extentOf(packed, view, at) : undefined;
    if (extent?.checksum === undefined) return undefined;
    const bytes = extent.declared >= 0 ? extent.declared : (expected ?? -1);
    if (bytes < 0 || bytes > extent.most || length + bytes > limit) return undefined;
    const out = new Uint8Array(bytes);
    try {
      decompress(packed.subarray(at, extent.end), out);
    } catch {
      return undefined;
    }
    if (Number(BigInt.asUintN(32, create64().update(out).digest())) !== extent.checksum) return undefined;
    parts.push(out);
    length += bytes;
    at = extent.end;
  }
  return parts.length === 1 ? parts[0]! : joined(parts, length);
}

/** Parts one behind the other. @param length of all together, in bytes */
export function joined(parts: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
