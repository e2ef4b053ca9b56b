/** Exported symbols: the kernel's own and those of modules loaded earlier. */
import { latin1 } from "@kreplica/elf";
import { signedOf } from "./addresses.js";

/** One exported symbol. */
export interface ExportedSymbol {
  readonly name: string;
  /** Signed address; a per-CPU symbol's offset. */
  readonly value: number;
  /** For modules with a GPL-compatible license only. */
  readonly gpl: boolean;
  /** Namespace a module must import; "" for none. */
  readonly namespace: string;
  /** Checksum of its type, undefined where none is known. */
  readonly checksum: number | undefined;
  /** Module it belongs to; undefined for the kernel. */
  readonly owner: string | undefined;
}

/** A table that exported symbols can be read from: an image, or a module's memory, by signed address. */
export interface ByteSource {
  /** A view of `length` bytes; undefined when they are not all there. */
  bytes(address: number, length: number): Uint8Array | undefined;
}

/** One __ksymtab section and what goes with it. */
export interface ExportTable {
  /** Signed address of its first entry. */
  readonly start: number;
  readonly bytes: number;
  readonly gpl: boolean;
  /** Signed address of the checksums, one 32-bit word an entry. */
  readonly checksums?: number;
  /**
   * Signed address of the flags, one byte an entry, bit 0 GPL only: newer kernels (7.2) keep all exports in one table.
   * Counts where `gpl` is false.
   */
  readonly flags?: number;
}

// A per-CPU symbol lies near zero, a window symbol just below it in signed numbers: a 32-bit distance reaches both
// without wrapping.
/**
 * Three 32-bit distances: to the value, the name and the namespace.
 * @source include/linux/export.h, CONFIG_HAVE_ARCH_PREL32_RELOCATIONS
 */
const ENTRY = 12;
const LONGEST_NAME = 512;
/** @source include/linux/module_symbol.h enum ksym_flags */
const GPL_ONLY = 1;

/**
 * Reads the entries of an export table.
 * @returns undefined when an entry or a name lies outside the source
 */
export function readExports(
  source: ByteSource,
  table: ExportTable,
  owner: string | undefined,
): ExportedSymbol[] | undefined {
  const exports: ExportedSymbol[] = [];
  for (let at = 0; at + ENTRY <= table.bytes; at += ENTRY) {
    const entry = source.bytes(table.start + at, ENTRY);
    const name = entry && stringAt(source, table.start + at + 4 + int32(entry, 4));
    if (!entry || name === undefined) return undefined;
    const space = int32(entry, 8);
    const namespace = space === 0 ? "" : stringAt(source, table.start + at + 8 + space);
    const sum = table.checksums === undefined ? undefined : source.bytes(table.checksums + (at / ENTRY) * 4, 4);
    const flags = table.flags === undefined ? undefined : source.bytes(table.flags + at / ENTRY, 1);
    if (namespace === undefined || (table.flags !== undefined && !flags)) return undefined;
    exports.push({
      name,
      value: table.start + at + int32(entry, 0),
      gpl: table.gpl || ((flags?.[0] ?? 0) & GPL_ONLY) !== 0,
      namespace,
      checksum: sum ? int32(sum, 0) >>> 0 : undefined,
      owner,
    });
  }
  return exports;
}

const int32 = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getInt32(at, true);

function stringAt(source: ByteSource, address: number): string | undefined {
  for (let length = 32; length <= LONGEST_NAME; length *= 2) {
    let bytes = source.bytes(address, length);
    // Near the end of the source there may be fewer bytes than asked for.
    for (let shorter = length - 1; !bytes && shorter > 0; shorter--) bytes = source.bytes(address, shorter);
    if (!bytes) return undefined;
    const end = bytes.indexOf(0);
    if (end >= 0) return latin1(bytes.subarray(0, end));
  }
  return undefined;
}

/** All that can be linked against, by name. */
export class SymbolTable {
  private readonly byName = new Map<string, ExportedSymbol>();

  constructor(exports: Iterable<ExportedSymbol> = []) {
    for (const each of exports) this.byName.set(each.name, each);
  }

  get size(): number {
    return this.byName.size;
  }
  find(name: string): ExportedSymbol | undefined {
    return this.byName.get(name);
  }
  add(exports: Iterable<ExportedSymbol>): void {
    for (const each of exports) this.byName.set(each.name, each);
  }
  removeOwner(owner: string): void {
    for (const [name, each] of this.byName) if (each.owner === owner) this.byName.delete(name);
  }
}

/**
 * A symbol table from a list of all symbols (System.map, kallsyms): a symbol counts as exported when `__ksymtab_NAME`
 * is in the list, and as GPL-only when that lies between the marks of the GPL table. Without checksums and namespaces,
 * which such a list does not have.
 */
export function exportsFromSymbols(symbols: Iterable<readonly [name: string, address: bigint]>): ExportedSymbol[] {
  const all = new Map<string, number>();
  for (const [name, address] of symbols) if (!all.has(name)) all.set(name, signedOf(address));
  const [gplStart, gplStop] = [all.get("__start___ksymtab_gpl") ?? 0, all.get("__stop___ksymtab_gpl") ?? 0];
  const exports: ExportedSymbol[] = [];
  for (const [name, entry] of all) {
    if (!name.startsWith("__ksymtab_")) continue;
    const plain = name.slice("__ksymtab_".length);
    const value = all.get(plain);
    if (value !== undefined)
      exports.push({
        name: plain,
        value,
        gpl: entry >= gplStart && entry < gplStop,
        namespace: "",
        checksum: undefined,
        owner: undefined,
      });
  }
  return exports;
}
