/** A System.map as a table from name to address, plain or zstd-compressed. */
import { InputError } from "@kreplica/inputs";
import { isZstd, unzstd, ZstdError } from "@kreplica/inputs/zstd";
import { readSymbolList } from "./kernel-image/symbol-list.js";

/**
 * Bytes of a text file that may be zstd-compressed, as text.
 * @throws InputError when the compressed data are damaged
 */
export function textOf(bytes: Uint8Array, file: string): string {
  if (!isZstd(bytes)) return new TextDecoder("latin1").decode(bytes);
  try {
    return new TextDecoder("latin1").decode(unzstd(bytes));
  } catch (error) {
    throw new InputError({
      file,
      offset: error instanceof ZstdError ? error.offset : 0,
      reason: `zstd: ${error instanceof Error ? error.message : String(error)}`,
      remedy: "copy the file again, or give it unpacked",
    });
  }
}

/**
 * @returns the first address of each name, as linked; per-CPU symbols are offsets in the per-CPU area
 * @throws InputError naming the line
 */
export function readSystemMap(bytes: Uint8Array, file: string): Map<string, bigint> {
  const symbols = new Map<string, bigint>();
  for (const { name, address } of readSymbolList(textOf(bytes, file), file))
    if (!symbols.has(name)) symbols.set(name, address);
  return symbols;
}
