/** An ELF file as a whole: headers read and checked at once, tables read when asked for. */
import { readHeader, readSegments, type ElfHeader, type ElfSegment } from "./header.js";
import { readRelocations, type Relocations } from "./relocations.js";
import { checkSectionNumber, readSections, SectionType, stringAt, type ElfSection } from "./sections.js";
import { readSymbols, type ElfSymbol } from "./symbols.js";
import { Window } from "./window.js";

/**
 * A 64-bit little-endian ELF file. Views into the given bytes, no copies; time and memory are bounded by a small
 * multiple of the file's size.
 */
export class ElfFile {
  readonly header: ElfHeader;
  readonly segments: readonly ElfSegment[];
  readonly sections: readonly ElfSection[];
  private readonly window: Window;
  private symbolCache: readonly ElfSymbol[] | undefined;

  /** @throws ElfError when the headers, or what they say of the file, are wrong */
  constructor(readonly bytes: Uint8Array) {
    this.window = new Window(bytes);
    this.header = readHeader(this.window);
    this.segments = readSegments(this.window, this.header);
    this.sections = readSections(this.window, this.header);
  }

  /** First section of that name. */
  section(name: string): ElfSection | undefined {
    return this.sections.find((section) => section.name === name);
  }

  /** @param field what names the section, for the error @throws ElfError "bad-section-number" */
  sectionAt(index: number, field = "section number", offset = 0): ElfSection {
    checkSectionNumber(index, this.sections.length, offset, field);
    return this.sections[index]!;
  }

  /** The section's bytes in the file: a view; empty for Nobits. */
  bytesOf(section: ElfSection): Uint8Array {
    return section.type === SectionType.Nobits || section.type === SectionType.Null
      ? this.bytes.subarray(0, 0)
      : this.window.slice(section.offset, section.size, section.name);
  }

  /** All symbols of the file's Symtab, or of the given table; empty when there is none. @throws ElfError */
  symbols(table?: ElfSection): readonly ElfSymbol[] {
    if (table) return readSymbols(this.window, this.sections, table);
    if (!this.symbolCache) {
      const first = this.sections.find((section) => section.type === SectionType.Symtab);
      this.symbolCache = first ? readSymbols(this.window, this.sections, first) : [];
    }
    return this.symbolCache;
  }

  /** @throws ElfError when it is not a relocation table */
  relocations(section: ElfSection): Relocations {
    return readRelocations(this.window, section);
  }

  /** Every relocation table whose target is the section. */
  relocationsOf(target: ElfSection): Relocations[] {
    return this.sections
      .filter(
        (section) =>
          (section.type === SectionType.Rela || section.type === SectionType.Rel) && section.info === target.index,
      )
      .map((section) => this.relocations(section));
  }

  /** The zero-terminated string at an offset of a section. @throws ElfError "bad-name" */
  string(section: ElfSection, offset: number): string {
    return stringAt(this.bytesOf(section), offset, section.offset, `string in ${section.name}`);
  }
}

/** @throws ElfError naming offset, field and remedy */
export const readElf = (bytes: Uint8Array): ElfFile => new ElfFile(bytes);
