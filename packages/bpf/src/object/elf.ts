/**
 * Reads little-endian ELF64 files: header, sections, symbols, relocations; every offset checked before it is followed.
 * It knows nothing of BPF and imports nothing, so that other packages can take it over (docs/decisions, "ELF reader").
 *
 * Every fault goes to the caller's `refuse`, so the error has the caller's own type.
 *
 * @source System V ABI, "Object Files": tables of ELF header, section header, symbol table entry, relocation entry
 */

/** Why a file was not read; `offset` is in bytes from its start. */
export type ElfFault = "elf-cut" | "elf-not-elf" | "elf-wrong-class" | "elf-bad-table" | "elf-bad-string";
/** Throws the caller's error; never returns. */
export type Refuse = (fault: ElfFault, offset: number, detail: string) => never;

export const SectionType = { Null: 0, ProgramBits: 1, Symbols: 2, Strings: 3, Rela: 4, NoBits: 8, Rel: 9 } as const;
export const SectionFlag = { Write: 1, Allocate: 2, Execute: 4 } as const;
export const SymbolType = { None: 0, Object: 1, Function: 2, Section: 3, File: 4 } as const;
export const SymbolBinding = { Local: 0, Global: 1, Weak: 2 } as const;
/** Section index of a symbol that the file does not define. */
export const UNDEFINED = 0;

export interface ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  /** Byte offset in the file. */
  readonly offset: number;
  /** Bytes; for NoBits the size in memory, with empty `data`. */
  readonly size: number;
  readonly link: number;
  readonly info: number;
  /** View into the file's bytes. */
  readonly data: Uint8Array;
}
export interface ElfSymbol {
  readonly name: string;
  readonly value: bigint;
  readonly size: bigint;
  readonly type: number;
  readonly binding: number;
  /** Index of the section it lies in; 0 undefined, from 0xff00 on special. */
  readonly section: number;
}
export interface ElfRelocation {
  /** Byte offset in the section that is relocated. */
  readonly offset: number;
  readonly type: number;
  readonly symbol: ElfSymbol;
  /** 0n for Rel sections, whose addend lies in place. */
  readonly addend: bigint;
}
export interface ElfFile {
  /** 1 relocatable, 2 executable, 3 shared. */
  readonly type: number;
  /** 62 x86-64, 247 BPF. */
  readonly machine: number;
  readonly entry: bigint;
  readonly sections: readonly ElfSection[];
  readonly symbols: readonly ElfSymbol[];
  /** Relocations of the section with this index, over all Rel and Rela sections that name it. */
  relocationsOf(section: number): ElfRelocation[];
}

const HEADER_BYTES = 64, SECTION_BYTES = 64, SYMBOL_BYTES = 24, LARGEST_SECTION = 0x4000_0000;

/** @param refuse called with the first fault found */
export function readElf(bytes: Uint8Array, refuse: Refuse): ElfFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 4 || view.getUint32(0, false) !== 0x7f454c46) refuse("elf-not-elf", 0, "no ELF magic; give an object file as clang -c writes it");
  if (bytes.length < HEADER_BYTES) refuse("elf-cut", bytes.length, `the file ends inside its ${HEADER_BYTES}-byte header`);
  if (bytes[4] !== 2 || bytes[5] !== 1) refuse("elf-wrong-class", 4, `class ${bytes[4]}, byte order ${bytes[5]}: only 64-bit little endian is read; compile with -target bpfel`);
  const table = number(view, 40), entry = view.getUint16(58, true), count = view.getUint16(60, true), names = view.getUint16(62, true);
  if (count > 0 && entry !== SECTION_BYTES) refuse("elf-bad-table", 58, `section headers of ${entry} bytes, ${SECTION_BYTES} expected`);
  const inFile = (offset: number, size: number, at: number, what: string): void => {
    if (offset + size > bytes.length) refuse("elf-cut", at, `${what} reaches to byte ${offset + size} of ${bytes.length}; the file is cut or its table is wrong`);
  };
  inFile(table, count * SECTION_BYTES, 40, "the section table");
  const at = (index: number): number => table + index * SECTION_BYTES;
  const dataOf = (index: number): Uint8Array => {
    if (view.getUint32(at(index) + 4, true) === SectionType.NoBits) return bytes.subarray(0, 0);
    const offset = number(view, at(index) + 24), size = number(view, at(index) + 32);
    inFile(offset, size, at(index) + 24, `section ${index}`);
    return bytes.subarray(offset, offset + size);
  };
  const text = (table: Uint8Array, offset: number, from: number): string => {
    const end = offset < table.length ? table.indexOf(0, offset) : -1;
    if (end < 0) refuse("elf-bad-string", from, `name at ${offset} of a ${table.length}-byte string table`);
    let out = "";
    for (let i = offset; i < end; i++) out += String.fromCharCode(table[i]!);
    return out;
  };
  if (count > 0 && names >= count) refuse("elf-bad-table", 62, `section names in section ${names} of ${count}`);
  const nameTable = count > 0 ? dataOf(names) : bytes.subarray(0, 0);
  const sections: ElfSection[] = [];
  for (let index = 0; index < count; index++) {
    const head = at(index), size = number(view, head + 32);
    if (size > LARGEST_SECTION) refuse("elf-bad-table", head + 32, `section ${index} of ${size} bytes is more than 1 GiB`);
    sections.push({
      index, name: view.getUint32(head, true) === 0 ? "" : text(nameTable, view.getUint32(head, true), head),
      type: view.getUint32(head + 4, true), flags: number(view, head + 8), address: view.getBigUint64(head + 16, true), offset: number(view, head + 24), size,
      link: view.getUint32(head + 40, true), info: view.getUint32(head + 44, true), data: dataOf(index),
    });
  }
  const symbols: ElfSymbol[] = [];
  const symbolSection = sections.find((section) => section.type === SectionType.Symbols);
  if (symbolSection) {
    const strings = sections[symbolSection.link];
    if (!strings || symbolSection.size % SYMBOL_BYTES !== 0) {
      return refuse("elf-bad-table", at(symbolSection.index), `symbol table of ${symbolSection.size} bytes with names in section ${symbolSection.link} of ${count}`);
    }
    for (let offset = 0; offset < symbolSection.size; offset += SYMBOL_BYTES) {
      const from = symbolSection.offset + offset, info = view.getUint8(from + 4), section = view.getUint16(from + 6, true);
      if (section >= count && section < 0xff00) refuse("elf-bad-table", from + 6, `symbol ${symbols.length} lies in section ${section} of ${count}`);
      symbols.push({
        name: view.getUint32(from, true) === 0 ? "" : text(strings.data, view.getUint32(from, true), from), type: info & 15, binding: info >> 4, section,
        value: view.getBigUint64(from + 8, true), size: view.getBigUint64(from + 16, true),
      });
    }
  }
  const relocationsOf = (target: number): ElfRelocation[] => {
    const out: ElfRelocation[] = [];
    for (const section of sections) {
      if ((section.type !== SectionType.Rel && section.type !== SectionType.Rela) || section.info !== target) continue;
      const step = section.type === SectionType.Rel ? 16 : 24;
      if (section.size % step !== 0) refuse("elf-bad-table", section.offset, `relocations ${section.name}: ${section.size} bytes are no whole number of entries of ${step}`);
      for (let from = section.offset; from < section.offset + section.size; from += step) {
        const symbol = symbols[view.getUint32(from + 12, true)];
        const offset = number(view, from), limit = sections[target]?.size ?? 0;
        if (!symbol || offset >= limit) return refuse("elf-bad-table", from, `relocation at ${offset} of ${limit} bytes by symbol ${view.getUint32(from + 12, true)} of ${symbols.length}`);
        out.push({ offset, type: view.getUint32(from + 8, true), symbol, addend: step === 24 ? view.getBigInt64(from + 16, true) : 0n });
      }
    }
    return out;
  };
  return { type: view.getUint16(16, true), machine: view.getUint16(18, true), entry: view.getBigUint64(24, true), sections, symbols, relocationsOf };
}

/** 64-bit field as a number: exact for every offset a file can have, far too large (never wrapped) for the others. */
const number = (view: DataView, at: number): number => view.getUint32(at, true) + view.getUint32(at + 4, true) * 4294967296;
