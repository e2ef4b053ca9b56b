/**
 * The checksum a bzImage ends with: a CRC-32 without the final complement, so that over the image and the checksum
 * behind it the remainder is 0.
 *
 * Source: Documentation/arch/x86/boot.rst, "The Image Checksum" (protocol 2.08 to 2.15) and "The Real-Mode Kernel
 * Header": syssize at 0x1f4 in paragraphs of 16 bytes, kernel_version at 0x20e. Kernels from 6.15 are built without
 * one. PE fields: PE Format, "Optional Header".
 */
import { crc32 } from "./crc32.js";

/** What does not agree: where the checksum lies in the file, what stands there, what the image before it amounts to. */
export interface ChecksumMismatch {
  readonly offset: number;
  readonly written: number;
  readonly computed: number;
}

/**
 * Bytes from the PE signature: the checksum, and place and length of the certificates; whoever signs the image fills
 * these in, zero before.
 */
const SIGNED_FIELDS = [
  [24 + 64, 4],
  [24 + 112 + 4 * 8, 8],
] as const;

/**
 * Undefined where image and checksum agree.
 *
 * @param end of the image in the file: the setup code and syssize paragraphs; what lies behind, a signature say, is not
 *   the image's
 */
export function imageChecksum(bytes: Uint8Array, end: number): ChecksumMismatch | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const offset = end - 4;
  const written = view.getUint32(offset, true);
  const image = bytes.subarray(0, offset);
  const computed = remainder(image);
  if (computed === written) return undefined;
  const unsigned = asBeforeSigning(image);
  return unsigned && remainder(unsigned) === written ? undefined : { offset, written, computed };
}

const remainder = (bytes: Uint8Array): number => ~crc32(bytes) >>> 0;

/**
 * Whether there is no checksum to compare with. The image's own word on its release decides; without one it is looked
 * at as an older kernel.
 */
export function builtWithoutChecksum(bytes: Uint8Array): boolean {
  const pointer = bytes[0x20e]! | (bytes[0x20f]! << 8);
  if (pointer === 0) return false;
  const at = pointer + 0x200;
  const release = /^(\d+)\.(\d+)/.exec(new TextDecoder("latin1").decode(bytes.subarray(at, at + 16)));
  if (!release) return false;
  const [major, minor] = [Number(release[1]), Number(release[2])];
  return major > 6 || (major === 6 && minor >= 15);
}

/** The image with the fields of a signature cleared; undefined where it has none. */
function asBeforeSigning(image: Uint8Array): Uint8Array | undefined {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const pe = view.getUint32(0x3c, true);
  const [, last] = SIGNED_FIELDS;
  if (
    view.getUint16(0, true) !== 0x5a4d ||
    pe + last[0] + last[1] > image.length ||
    view.getUint32(pe, true) !== 0x4550
  )
    return undefined;
  if (view.getUint32(pe + last[0] + 4, true) === 0) return undefined;
  const before = image.slice();
  for (const [at, length] of SIGNED_FIELDS) before.fill(0, pe + at, pe + at + length);
  return before;
}
