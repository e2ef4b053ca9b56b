/** A module's file, plain or packed, as a module; what is wrong with it is said of the file. */
import { ElfError } from "@kreplica/elf";
import { InputError } from "@kreplica/inputs";
import { unzstd } from "@kreplica/inputs/zstd";
import { ModuleError, readModule, type ModuleFile } from "@kreplica/modules";
import { unxz } from "../kernel-image/xz.js";

/** Larger than any module, small enough to read. */
const LARGEST_MODULE = 256 << 20;

/**
 * Reads a .ko, .ko.xz or .ko.zst file.
 *
 * @param name of the module
 * @param file as errors name it
 * @throws InputError when it is no module, is cut, or is one of another architecture
 */
export async function moduleFromBytes(bytes: Uint8Array, name: string, file: string): Promise<ModuleFile> {
  const plain = await unpack(bytes, file);
  return fileOf(plain, name, file, plain !== bytes);
}

/** First bytes of what a module may be packed in. */
const PACKED = { xz: [0xfd, 0x37, 0x7a, 0x58, 0x5a], zstd: [0x28, 0xb5, 0x2f, 0xfd] } as const;
const ELF = [0x7f, 0x45, 0x4c, 0x46];
const begins = (bytes: Uint8Array, magic: readonly number[]): boolean => magic.every((byte, at) => bytes[at] === byte);

/** By what the file holds, whatever its name. */
async function unpack(bytes: Uint8Array, path: string): Promise<Uint8Array> {
  const packing = begins(bytes, PACKED.xz) ? "xz" : begins(bytes, PACKED.zstd) ? "zstd" : undefined;
  if (packing) {
    try {
      return packing === "zstd" ? unzstd(bytes, LARGEST_MODULE) : await unxz(bytes, LARGEST_MODULE);
    } catch (error) {
      throw new InputError({
        file: path,
        reason: `cannot be unpacked (${packing}): ${error instanceof Error ? error.message : String(error)}`,
        remedy: "fetch it again",
      });
    }
  }
  if (begins(bytes, ELF)) return bytes;
  const found =
    bytes.length === 0
      ? "it is empty"
      : `it begins with ${[...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}`;
  throw new InputError({
    file: path,
    reason: `is no kernel module: ${found}, not as an ELF file or one packed by xz or zstd`,
    remedy: "give a .ko, .ko.xz or .ko.zst file",
  });
}

/** What of a file keeps it from being read is the file's fault, not that of the kernel it was built for. */
function fileOf(bytes: Uint8Array, name: string, path: string, unpacked: boolean): ModuleFile {
  try {
    return readModule(bytes, name);
  } catch (error) {
    if (!(error instanceof ModuleError)) throw error;
    if (error.cause instanceof ElfError) {
      const { offset, field, reason, remedy } = error.cause;
      throw new InputError({ file: path, offset, unpacked, field, reason, remedy });
    }
    const remedy =
      error.code === "not-a-module" ? "give a module built for x86-64" : "give a complete module, not stripped";
    throw new InputError({ file: path, reason: error.message, remedy });
  }
}
