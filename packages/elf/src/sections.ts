/** Section headers and the string tables that name things. */
import { ElfError, FETCH_AGAIN } from "./errors.js";
import { SECTION_ENTRY, type ElfHeader } from "./header.js";
import type { Window } from "./window.js";

/** sh_type. @source System V ABI, "Sections" */
export enum SectionType {
  Null = 0,
  Progbits = 1,
  Symtab = 2,
  Strtab = 3,
  Rela = 4,
  Hash = 5,
  Dynamic = 6,
  Note = 7,
  Nobits = 8,
  Rel = 9,
  Dynsym = 11,
  InitArray = 14,
  FiniArray = 15,
  Group = 17,
  SymtabShndx = 18,
}
/** sh_flags bits. */
export enum SectionFlag {
  Write = 1,
  Alloc = 2,
  Execute = 4,
  Merge = 0x10,
  Strings = 0x20,
  InfoLink = 0x40,
  LinkOrder = 0x80,
  Group = 0x200,
  Tls = 0x400,
  Compressed = 0x800,
}

/** A section header. Its bytes lie in the file unless it is {@link SectionType.Nobits}. */
export interface ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: SectionType | number;
  readonly flags: bigint;
  readonly writable: boolean;
  readonly allocated: boolean;
  readonly executable: boolean;
  readonly address: bigint;
  /** File offset, meaningless for Nobits. */
  readonly offset: number;
  /**
   * Size in memory; exact: a section with bytes fits the file, a Nobits one that exceeds 2^53 is refused by whoever
   * allocates it.
   */
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly align: bigint;
  readonly entryBytes: number;
  /** File offset of this header, for error messages. */
  readonly headerOffset: number;
}

const SHF = { write: 1n, alloc: 2n, execute: 4n };

/**
 * A name is at most this long. Linux limits symbols to 512 bytes; without a limit, a file of n bytes whose symbols all
 * name one long string would make n^2 bytes of names.
 */
export const LONGEST_NAME = 4096;

/** One character a byte. Not TextDecoder: it is no part of the language, and its "latin1" is Windows-1252. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at++) text += String.fromCharCode(bytes[at]!);
  return text;
}

/**
 * The zero-terminated string at `index` of a string table.
 * @throws ElfError "bad-name" when it has no end in the table within {@link LONGEST_NAME} bytes
 */
export function stringAt(table: Uint8Array, index: number, offset: number, field: string): string {
  const stop = Math.min(table.length, index + LONGEST_NAME + 1);
  for (let end = index; end < stop; end++) {
    if (table[end] === 0) return end === index ? "" : latin1(table.subarray(index, end));
  }
  throw new ElfError(
    "bad-name",
    offset,
    field,
    `no zero-terminated string of at most ${LONGEST_NAME} bytes at ${index} of a table of ${table.length}`,
    FETCH_AGAIN,
  );
}

/** @throws ElfError when a section's bytes or name do not lie in the file */
export function readSections(window: Window, header: ElfHeader): ElfSection[] {
  const names = header.namesSection === 0 ? undefined : namesTable(window, header);
  const sections: ElfSection[] = [];
  for (let i = 0; i < header.sectionCount; i++) {
    const at = header.sectionOffset + i * SECTION_ENTRY;
    const field = (name: string): string => `section ${i} ${name}`;
    const type = window.u32(at + 4, field("sh_type"));
    const flags = window.u64(at + 8, field("sh_flags"));
    const offset = window.size(at + 24, field("sh_offset"));
    const size = window.size(at + 32, field("sh_size"));
    // Section 0 holds overflowed counts, not a size.
    if (type !== SectionType.Null && type !== SectionType.Nobits)
      window.need(offset, size, field("sh_offset + sh_size"), at + 24);
    sections.push({
      index: i,
      name: names ? stringAt(names, window.u32(at, field("sh_name")), at, field("sh_name")) : "",
      type,
      flags,
      writable: (flags & SHF.write) !== 0n,
      allocated: (flags & SHF.alloc) !== 0n,
      executable: (flags & SHF.execute) !== 0n,
      address: window.u64(at + 16, field("sh_addr")),
      offset,
      size,
      link: window.u32(at + 40, field("sh_link")),
      info: window.u32(at + 44, field("sh_info")),
      align: window.u64(at + 48, field("sh_addralign")),
      entryBytes: window.size(at + 56, field("sh_entsize")),
      headerOffset: at,
    });
  }
  return sections;
}

function namesTable(window: Window, header: ElfHeader): Uint8Array {
  checkSectionNumber(header.namesSection, header.sectionCount, 62, "e_shstrndx");
  const at = header.sectionOffset + header.namesSection * SECTION_ENTRY;
  return window.slice(
    window.size(at + 24, "names sh_offset"),
    window.size(at + 32, "names sh_size"),
    "names sh_offset + sh_size",
    at + 24,
  );
}

/** @throws ElfError "bad-section-number" */
export function checkSectionNumber(number: number, count: number, offset: number, field: string): void {
  if (number >= count)
    throw new ElfError("bad-section-number", offset, field, `section ${number} of ${count}`, FETCH_AGAIN);
}

/** @throws ElfError "wrong-section-type" */
export function checkSectionType(section: ElfSection, types: readonly number[], field: string): void {
  if (!types.includes(section.type)) {
    throw new ElfError(
      "wrong-section-type",
      section.headerOffset + 4,
      field,
      `section ${section.index} "${section.name}" has type ${section.type}, not ${types.join(" or ")}`,
      FETCH_AGAIN,
    );
  }
}
