/**
 * Where each section of a module goes, in the seven memories of 6.4 and later: offsets now, addresses when memory is
 * there.
 */
import { PAGE_BYTES } from "@kreplica/hw-x86/api";
import { SpecialSection, type ElfSymbol } from "@kreplica/elf";
import { ModuleError } from "./errors.js";
import type { ModuleFile } from "./module-file.js";
import { isInit, isKept, MEMORY_TYPES, memoryOf, passOf, type MemoryType } from "./sections.js";

/** A section's place. */
export interface Place {
  readonly type: MemoryType;
  /** Byte offset in that memory. */ readonly offset: number;
}

/** Where each section of a module goes: offsets in its memories, no addresses yet. */
export interface ModuleLayout {
  /** By section index; undefined for a section that is not kept. */
  readonly places: readonly (Place | undefined)[];
  /** Bytes of each memory, not rounded to pages; 0: none. */
  readonly bytes: Readonly<Record<MemoryType, number>>;
  /** Symbols that stay after init, for kallsyms. */
  readonly coreSymbols: number;
}

/** Bytes of one symbol in the file and in memory. */
const SYMBOL_BYTES = 24;
/** struct mod_kallsyms. @source kernel/module/internal.h */
const KALLSYMS_BYTES = 32;
/** More than this in one memory is no module: the module range has 1 GiB. */
const LARGEST_MEMORY = 1 << 29;

export const alignTo = (value: number, align: bigint | number): number => {
  const by = Math.max(1, Number(align));
  return Math.ceil(value / by) * by;
};

/**
 * Whether kallsyms keeps the symbol once init has run.
 * @source kernel/module/kallsyms.c is_core_symbol, with CONFIG_KALLSYMS_ALL
 */
export function isCoreSymbol(file: ModuleFile, symbol: ElfSymbol): boolean {
  if (symbol.section === SpecialSection.Undefined || symbol.section >= file.sections.length || symbol.name === "")
    return false;
  if (file.percpu && symbol.section === file.percpu.index) return true;
  const section = file.sections[symbol.section]!;
  return isKept(section) && !isInit(section);
}

/** What the kept copy of the symbol table takes: entries and name bytes, the empty first symbol included. */
export function coreSymbols(file: ModuleFile): { readonly count: number; readonly nameBytes: number } {
  let count = 0;
  let nameBytes = 0;
  file.symbols.forEach((symbol, index) => {
    if (index !== 0 && !isCoreSymbol(file, symbol)) return;
    count++;
    nameBytes += symbol.name.length + 1;
  });
  return { count, nameBytes };
}

/**
 * The layout of 6.4 and later: one memory a type, sections in file order within a pass, symbol tables last.
 *
 * @source kernel/module/main.c layout_sections, kernel/module/kallsyms.c layout_symtab
 * @throws ModuleError too-large
 */
export function layoutModule(file: ModuleFile): ModuleLayout {
  const places: (Place | undefined)[] = file.sections.map(() => undefined);
  const bytes = Object.fromEntries(MEMORY_TYPES.map((type) => [type, 0])) as Record<MemoryType, number>;
  const put = (index: number, type: MemoryType, size: number, align: bigint | number): void => {
    const offset = alignTo(bytes[type], align);
    places[index] = { type, offset };
    bytes[type] = offset + size;
    if (bytes[type] > LARGEST_MEMORY)
      throw new ModuleError(
        "too-large",
        file.name,
        `${type} memory of ${bytes[type]} bytes; no module needs more than ${LARGEST_MEMORY}`,
      );
  };
  for (const init of [false, true]) {
    for (const pass of [0, 1, 2, 3] as const) {
      for (const section of file.sections) {
        if (passOf(section) === pass && isInit(section) === init)
          put(section.index, memoryOf(pass, init), section.size, section.align);
      }
    }
  }
  const core = coreSymbols(file);
  put(file.symbolTable.index, "init-data", file.symbolTable.size, file.symbolTable.align);
  bytes.data = alignTo(bytes.data, file.symbolTable.align) + core.count * SYMBOL_BYTES + core.nameBytes + core.count;
  put(file.strings.index, "init-data", file.strings.size, file.strings.align);
  bytes["init-data"] = alignTo(bytes["init-data"], 8) + KALLSYMS_BYTES + file.symbols.length;
  return { places, bytes, coreSymbols: core.count };
}

/** The two memories of 6.3 and earlier, each cut into page-aligned stretches of one protection. */
export interface CoreInitLayout {
  /** By section index: in core or in init, and the offset there. */
  readonly places: readonly ({ readonly part: "core" | "init"; readonly offset: number } | undefined)[];
  /** Whole pages. */
  readonly bytes: { readonly core: number; readonly init: number };
}

/**
 * The layout of 6.3 and earlier: what the recorded machine's kernel did. Not used for loading (its pages of one area
 * have several protections, so an area could not be replicated as a whole); kept because the recorded addresses prove
 * the passes.
 *
 * @source kernel/module/main.c layout_sections before 6.4
 */
export function layoutCoreInit(file: ModuleFile): CoreInitLayout {
  const places: ({ part: "core" | "init"; offset: number } | undefined)[] = file.sections.map(() => undefined);
  const bytes = { core: 0, init: 0 };
  const put = (index: number, part: "core" | "init", size: number, align: bigint | number): void => {
    const offset = alignTo(bytes[part], align);
    places[index] = { part, offset };
    bytes[part] = offset + size;
  };
  for (const part of ["core", "init"] as const) {
    for (const pass of [0, 1, 2, 3] as const) {
      for (const section of file.sections) {
        if (passOf(section) === pass && isInit(section) === (part === "init"))
          put(section.index, part, section.size, section.align);
      }
      bytes[part] = alignTo(bytes[part], PAGE_BYTES);
    }
  }
  const core = coreSymbols(file);
  put(file.symbolTable.index, "init", file.symbolTable.size, file.symbolTable.align);
  bytes.core = alignTo(
    alignTo(bytes.core, file.symbolTable.align) + core.count * SYMBOL_BYTES + core.nameBytes + core.count,
    4096,
  );
  put(file.strings.index, "init", file.strings.size, file.strings.align);
  bytes.init = alignTo(alignTo(bytes.init, 8) + KALLSYMS_BYTES + file.symbols.length, PAGE_BYTES);
  return { places, bytes };
}
