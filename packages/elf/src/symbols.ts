/** Symbol tables. */
import { entrySize } from "./header.js";
import { checkSectionNumber, checkSectionType, SectionType, stringAt, type ElfSection } from "./sections.js";
import type { Window } from "./window.js";

/** Low four bits of st_info. @source System V ABI, "Symbol Table" */
export enum SymbolType {
  None = 0,
  Object = 1,
  Function = 2,
  Section = 3,
  File = 4,
  Common = 5,
  Tls = 6,
}
/** High four bits of st_info. */
export enum SymbolBinding {
  Local = 0,
  Global = 1,
  Weak = 2,
}
/**
 * Section numbers that are not sections, widened past any real one so that they cannot be confused with a file's
 * 65,281st section.
 */
export enum SpecialSection {
  Undefined = 0,
  Absolute = 0xffff_fff1,
  Common = 0xffff_fff2,
}

/** One symbol; in a relocatable file `value` is an offset into `section`, otherwise an address. */
export interface ElfSymbol {
  readonly index: number;
  readonly name: string;
  readonly value: bigint;
  readonly size: bigint;
  readonly type: SymbolType | number;
  readonly binding: SymbolBinding | number;
  /** 0 default, 1 internal, 2 hidden, 3 protected. */
  readonly visibility: number;
  /** A section's index, or a {@link SpecialSection}. */
  readonly section: number;
}

const ENTRY = 24;
const SHN_LORESERVE = 0xff00;
const SHN_XINDEX = 0xffff;
/** Numbers from here on are not sections. */
const SPECIAL = 0xffff_ff00;

/**
 * Every symbol of a Symtab or Dynsym section, symbol 0 included.
 * @throws ElfError for a table, name or section number that is not in the file
 */
export function readSymbols(window: Window, sections: readonly ElfSection[], table: ElfSection): ElfSymbol[] {
  checkSectionType(table, [SectionType.Symtab, SectionType.Dynsym], "sh_type of a symbol table");
  entrySize(window, table.headerOffset + 56, `section ${table.index} sh_entsize`, ENTRY, true);
  checkSectionNumber(table.link, sections.length, table.headerOffset + 40, `section ${table.index} sh_link`);
  const strings = sections[table.link]!;
  checkSectionType(strings, [SectionType.Strtab], "sh_type of the symbols' string table");
  const names = window.slice(strings.offset, strings.size, "symbol names");
  const wide = sections.find((section) => section.type === SectionType.SymtabShndx && section.link === table.index);
  const symbols: ElfSymbol[] = [];
  for (let i = 0; (i + 1) * ENTRY <= table.size; i++) {
    const at = table.offset + i * ENTRY;
    const info = window.u8(at + 4, "st_info");
    let section = window.u16(at + 6, "st_shndx");
    if (section === SHN_XINDEX && wide) section = window.u32(wide.offset + 4 * i, `section ${wide.index} entry ${i}`);
    else if (section >= SHN_LORESERVE) section += SPECIAL - SHN_LORESERVE;
    if (section < SPECIAL) checkSectionNumber(section, sections.length, at + 6, `symbol ${i} st_shndx`);
    const type = info & 15;
    const nameAt = window.u32(at, "st_name");
    symbols.push({
      index: i,
      name: nameAt === 0 ? "" : stringAt(names, nameAt, at, `symbol ${i} st_name`),
      value: window.u64(at + 8, "st_value"),
      size: window.u64(at + 16, "st_size"),
      type,
      binding: info >> 4,
      visibility: window.u8(at + 5, "st_other") & 3,
      section,
    });
  }
  return symbols;
}
