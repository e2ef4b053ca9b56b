/**
 * From a file somebody calls a kernel to the ELF image in it: vmlinux as it is, or the payload of a bzImage, unpacked.
 *
 * Source: Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header": setup_sects at 0x1f1, boot_flag 0xaa55 at
 * 0x1fe, "HdrS" at 0x202, version at 0x206, payload_offset and payload_length at 0x248 and 0x24c since protocol 2.08,
 * syssize at 0x1f4.
 */
import { InputError } from "@kreplica/inputs";
import { isZstd, unzstd, ZstdError } from "@kreplica/inputs/zstd";
import { gunzipSync } from "fflate";
import { crc32 } from "./crc32.js";
import { builtWithoutChecksum, imageChecksum } from "./image-checksum.js";
import { LZ4_LEGACY_MAGIC, unpackLz4Legacy } from "./lz4-legacy.js";
import { unxz } from "./xz.js";

/** More than any kernel; a file that declares more is refused before memory is asked for. */
export const LARGEST_KERNEL = 512 << 20;

/** How the ELF image was packed. */
export type Packing = "none" | "gzip" | "lz4" | "xz" | "zstd";

/** An ELF image, and how it was packed. */
export interface Unpacked {
  readonly elf: Uint8Array;
  readonly packing: Packing;
}

const GIVE = "give a vmlinux, plain or packed with zstd, or a vmlinuz (bzImage) packed with gzip, lz4, xz or zstd";
const AGAIN = "the file is cut or damaged: fetch or build it again";

/**
 * The ELF image with the relocation lists behind it.
 *
 * Damage is found by the payload's own checks (gzip CRC, xz CRC, zstd's XXH64) and, for LZ4's payloads, which have
 * none, and all that is not payload, by the image's checksum. Kernels from 6.15 have no such checksum: what unpacks to
 * its declared length passes there.
 * @param file name for errors
 * @throws InputError with the offset in the file
 */
export async function unpackKernel(bytes: Uint8Array, file: string): Promise<Unpacked> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fault = (offset: number, field: string, reason: string, remedy: string): never => {
    throw new InputError({ file, offset, field, reason, remedy });
  };
  if (bytes.length >= 4 && view.getUint32(0, true) === 0x464c_457f) return { elf: bytes, packing: "none" };
  if (isZstd(bytes)) return unpackWhole(bytes, file);
  if (bytes.length < 0x250 || view.getUint32(0x202, true) !== 0x5372_6448 || view.getUint16(0x1fe, true) !== 0xaa55) {
    return fault(0, "header", "neither an ELF file nor a bzImage", GIVE);
  }
  const version = view.getUint16(0x206, true);
  if (version < 0x208)
    fault(
      0x206,
      "version",
      `boot protocol ${version >> 8}.${version & 255} has no payload fields`,
      "give the vmlinux of this kernel",
    );
  // 0 means 4 for compatibility with the oldest loaders.
  const setup = ((view.getUint8(0x1f1) || 4) + 1) * 512;
  const start = setup + view.getUint32(0x248, true);
  const length = view.getUint32(0x24c, true);
  if (length < 8 || start + length > bytes.length) {
    fault(
      0x248,
      "payload_offset, payload_length",
      `the payload, bytes ${start} to ${start + length}, is not in the file of ${bytes.length}`,
      AGAIN,
    );
  }
  const declared = view.getUint32(start + length - 4, true);
  if (declared < 64 || declared > LARGEST_KERNEL)
    fault(start + length - 4, "unpacked length", `${declared} bytes is not between 64 and ${LARGEST_KERNEL}`, AGAIN);
  const packed = bytes.subarray(start, start + length - 4);
  const magic = view.getUint32(start, true);
  const packing: Packing | undefined =
    magic === LZ4_LEGACY_MAGIC
      ? "lz4"
      : (magic & 0xffff) === 0x8b1f
        ? "gzip"
        : magic === 0x587a_37fd
          ? "xz"
          : magic === 0xfd2f_b528
            ? "zstd"
            : undefined;
  if (packing === undefined)
    return fault(start, "payload", `packed with a method that begins ${magic.toString(16).padStart(8, "0")}`, GIVE);
  let elf: Uint8Array;
  try {
    if (packing === "lz4") {
      elf = new Uint8Array(declared);
      const end = unpackLz4Legacy(packed, elf);
      if (typeof end !== "number") return fault(start + end.offset, "LZ4 payload", end.reason, AGAIN);
      elf = elf.subarray(0, end);
    } else if (packing === "gzip") elf = gunzip(bytes.subarray(start, start + length), declared);
    else if (packing === "zstd") elf = unzstd(packed, declared, declared);
    else elf = await unxz(packed, declared);
  } catch (error) {
    if (error instanceof InputError) throw error;
    return fault(
      start + (error instanceof ZstdError ? error.offset : 0),
      `${packing} payload`,
      `cannot be unpacked (${error instanceof Error ? error.message : String(error)})`,
      AGAIN,
    );
  }
  if (elf.length !== declared)
    fault(start + length - 4, "unpacked length", `the payload unpacks to ${elf.length} bytes, not ${declared}`, AGAIN);
  if (builtWithoutChecksum(bytes)) return { elf, packing };
  // Last: a payload that tells where it is damaged says more.
  const end = setup + 16 * view.getUint32(0x1f4, true);
  if (end < start + length || end > bytes.length)
    fault(
      0x1f4,
      "syssize",
      `the image, bytes 0 to ${end}, does not hold its payload or is not in the file of ${bytes.length}`,
      AGAIN,
    );
  const sum = imageChecksum(bytes, end);
  if (sum)
    fault(
      sum.offset,
      "image checksum",
      `0x${digits(sum.written)} stands there, and the bytes before it amount to 0x${digits(sum.computed)}`,
      AGAIN,
    );
  return { elf, packing };
}

const digits = (word: number): string => word.toString(16).padStart(8, "0");

/**
 * gzip's own trailer is the declared length, so that the payload ends with it; the CRC before it is checked here, since
 * fflate does not.
 */
function gunzip(packed: Uint8Array, declared: number): Uint8Array {
  const out = gunzipSync(packed, { out: new Uint8Array(declared) });
  const wanted = new DataView(packed.buffer, packed.byteOffset + packed.length - 8, 4).getUint32(0, true);
  if (crc32(out) !== wanted) throw new Error("checksum mismatch");
  return out;
}

/** A vmlinux, or a vmlinuz, that somebody packed as a file. */
async function unpackWhole(bytes: Uint8Array, file: string): Promise<Unpacked> {
  let inner: Uint8Array;
  try {
    inner = unzstd(bytes, LARGEST_KERNEL);
  } catch (error) {
    if (!(error instanceof ZstdError)) throw error;
    throw new InputError({ file, offset: error.offset, field: "zstd file", reason: error.reason, remedy: AGAIN });
  }
  if (isZstd(inner))
    throw new InputError({
      file,
      offset: 0,
      unpacked: true,
      field: "header",
      reason: "packed with zstd once more",
      remedy: GIVE,
    });
  const { elf, packing } = await unpackKernel(inner, `${file} (unpacked)`);
  return { elf, packing: packing === "none" ? "zstd" : packing };
}
