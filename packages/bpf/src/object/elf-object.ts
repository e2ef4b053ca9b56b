/**
 * An ELF file as the BPF loader looks at it: @kreplica/elf's file with relocations as objects and its errors as ours.
 */
import {
  ElfError,
  type ElfErrorCode,
  type ElfFile,
  type ElfSection as FileSection,
  type ElfSymbol,
  readElf,
} from "@kreplica/elf";
import { BpfError, type BpfErrorCode } from "../errors.js";

export { SectionType, SymbolBinding, SymbolType, SpecialSection } from "@kreplica/elf";
export type { ElfSymbol };

/** A section with its bytes. */
export interface ElfSection extends FileSection {
  /** View into the file's bytes; empty for Nobits. */
  readonly data: Uint8Array;
}
export interface ElfRelocation {
  /** Byte offset in the section that is relocated. */
  readonly offset: number;
  readonly type: number;
  readonly symbol: ElfSymbol;
}
export interface ElfObject {
  readonly file: ElfFile;
  readonly sections: readonly ElfSection[];
  readonly symbols: readonly ElfSymbol[];
  /** Relocations of the section with this index, over all tables that name it. */
  relocationsOf(section: number): ElfRelocation[];
}

const CODES: Readonly<Record<ElfErrorCode, BpfErrorCode>> = {
  "not-elf": "elf-not-elf",
  "wrong-class": "elf-wrong-class",
  "wrong-order": "elf-wrong-order",
  cut: "elf-cut",
  "bad-entry-size": "elf-bad-table",
  "bad-section-number": "elf-bad-section",
  "wrong-section-type": "elf-wrong-section",
  "bad-name": "elf-bad-string",
  "bad-addend": "elf-bad-addend",
};

/** Runs a reader of the file; its refusals become ours. */
function translated<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ElfError)
      throw new BpfError(
        CODES[error.code],
        { offset: error.offset },
        `${error.field}: ${error.reason}; ${error.remedy}`,
      );
    throw error;
  }
}

/** @throws BpfError with a code that begins with `elf-` */
export function openElf(bytes: Uint8Array): ElfObject {
  const file = translated(() => readElf(bytes)),
    symbols = translated(() => file.symbols());
  const sections = file.sections.map((section) => ({ ...section, data: translated(() => file.bytesOf(section)) }));
  return {
    file,
    sections,
    symbols,
    relocationsOf(index) {
      const section = sections[index]!,
        out: ElfRelocation[] = [];
      for (const table of translated(() => file.relocationsOf(section))) {
        for (let i = 0; i < table.count; i++) {
          const symbol = symbols[table.symbol[i]!],
            offset = table.offset[i]!;
          if (!symbol || offset >= section.size)
            throw new BpfError(
              "elf-bad-relocation",
              { section: section.name, offset },
              `entry ${i} relocates byte ${offset} of ${section.size} by symbol ${table.symbol[i]} of ${symbols.length}`,
            );
          out.push({ offset, type: table.type[i]!, symbol });
        }
      }
      return out;
    },
  };
}
