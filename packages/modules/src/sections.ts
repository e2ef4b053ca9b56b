/** What kinds of memory a module has, and which section goes where. */
import { SectionType, type ElfSection } from "@kreplica/elf";

/** @source include/linux/module.h enum mod_mem_type (6.4 and later) */
export const MEMORY_TYPES = [
  "text",
  "data",
  "rodata",
  "ro-after-init",
  "init-text",
  "init-data",
  "init-rodata",
] as const;
/** One of the memories of a module. */
export type MemoryType = (typeof MEMORY_TYPES)[number];

/**
 * Only these are ever replicated: the others are written while the module lives.
 * @patch 11/12 kernel/module/main.c module_replicate_rodata
 */
export const REPLICATED_TYPES: readonly MemoryType[] = ["text", "rodata"];
/** Freed once the init function has run. */
export const INIT_TYPES: readonly MemoryType[] = ["init-text", "init-data", "init-rodata"];

/** Written by init and sealed afterwards. @source kernel/module/main.c setup of SHF_RO_AFTER_INIT */
const RO_AFTER_INIT = new Set([".data..ro_after_init", "__jump_table"]);
/** In the file, but no part of the module's memory; the per-CPU section has memory of its own. */
const NOT_KEPT = new Set([".modinfo", "__versions", ".data..percpu"]);

/** Whether the section takes part in the layout. */
export const isKept = (section: ElfSection): boolean =>
  section.allocated && !NOT_KEPT.has(section.name) && section.type !== SectionType.Null;
export const isInit = (section: ElfSection): boolean => section.name.startsWith(".init");

/**
 * The five passes in which sections are placed: code, then constants, then what becomes constant, then data, then small
 * data (which x86 does not have). 0 to 3, or undefined for a section that is in none.
 * @source kernel/module/main.c __layout_sections
 */
export function passOf(section: ElfSection): 0 | 1 | 2 | 3 | undefined {
  if (!isKept(section)) return undefined;
  if (section.executable) return 0;
  if (RO_AFTER_INIT.has(section.name)) return section.writable ? 2 : 1;
  return section.writable ? 3 : 1;
}

const CORE: readonly MemoryType[] = ["text", "rodata", "ro-after-init", "data"];
const INIT: readonly MemoryType[] = ["init-text", "init-rodata", "init-data", "init-data"];
/** Memory a section goes to, by pass. */
export const memoryOf = (pass: 0 | 1 | 2 | 3, init: boolean): MemoryType => (init ? INIT : CORE)[pass]!;
