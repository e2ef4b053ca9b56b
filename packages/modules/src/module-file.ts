/** A .ko file read and checked as far as it can be without a kernel. */
import { hex } from "@kreplica/hw-x86/api";
import {
  ElfError,
  FileType,
  latin1,
  MachineType,
  readElf,
  SectionType,
  type ElfFile,
  type ElfSection,
  type ElfSymbol,
} from "@kreplica/elf";
import { ModuleError } from "./errors.js";

/** A module as its file describes it. */
export interface ModuleFile {
  readonly name: string;
  readonly elf: ElfFile;
  readonly sections: readonly ElfSection[];
  readonly symbols: readonly ElfSymbol[];
  readonly symbolTable: ElfSection;
  readonly strings: ElfSection;
  /** .modinfo: every value of a key, in order. */
  readonly info: ReadonlyMap<string, readonly string[]>;
  readonly vermagic: string;
  /** Modules it says it needs. */
  readonly depends: readonly string[];
  /** Whether its license lets it use symbols exported for GPL modules only. */
  readonly gpl: boolean;
  /** Checksums it was built against, by symbol; empty without modversions. */
  readonly versions: ReadonlyMap<string, number>;
  /** Sections that are not part of the module's memory: .modinfo, __versions and the per-CPU section, by index. */
  readonly percpu: ElfSection | undefined;
}

/** Licenses that may use GPL-only symbols. @source include/linux/license.h */
const GPL = new Set(["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"]);
/**
 * Bytes of one entry of __versions: a checksum of 8 and a name of 56.
 * @source include/linux/module.h modversion_info
 */
const VERSION_ENTRY = 64;
/** More than any module has, less than what would take long: sections and alignment are the file's claims. */
const LARGEST_SECTION = 1 << 28;
const LARGEST_ALIGN = 1n << 21n;

/**
 * @param bytes the .ko file
 * @param label what to call it in errors until it has said its name
 * @throws ModuleError bad-elf, not-a-module, missing-section, too-large
 */
export function readModule(bytes: Uint8Array, label = "module"): ModuleFile {
  return readingElf(label, () => read(bytes, label));
}

/** Runs what reads a module's ELF tables; their faults are said in the module's name. @throws ModuleError bad-elf */
export function readingElf<T>(label: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof ElfError) throw new ModuleError("bad-elf", label, error.message, { cause: error });
    throw error;
  }
}

function read(bytes: Uint8Array, label: string): ModuleFile {
  const elf = readElf(bytes);
  const { header, sections } = elf;
  if (header.type !== FileType.Relocatable || header.machine !== MachineType.X86_64) {
    throw new ModuleError(
      "not-a-module",
      label,
      `ELF type ${header.type}, machine ${header.machine}, not a relocatable file (1) for x86-64 (62): give a .ko file`,
    );
  }
  for (const section of sections) {
    if (
      section.allocated &&
      (section.size > LARGEST_SECTION || section.align > LARGEST_ALIGN || (section.align & (section.align - 1n)) !== 0n)
    ) {
      throw new ModuleError(
        "too-large",
        label,
        `section ${section.index} "${section.name}" at ${hex(section.headerOffset)}: size ${section.size}, alignment ${section.align}`,
      );
    }
  }
  const only = (name: string): ElfSection => {
    const found = sections.filter((section) => section.name === name);
    if (found.length !== 1) throw missing(label, `${found.length} sections named ${name}, not one`);
    return found[0]!;
  };
  const tables = sections.filter((section) => section.type === SectionType.Symtab);
  if (tables.length !== 1) throw missing(label, `${tables.length} symbol tables, not one: was it stripped?`);
  const own = only(".gnu.linkonce.this_module");
  if (own.type === SectionType.Nobits || !own.allocated || own.size === 0)
    throw missing(label, ".gnu.linkonce.this_module has no bytes");
  const info = readInfo(elf.bytesOf(only(".modinfo")));
  const name = info.get("name")?.[0] ?? label;
  const versions = sections.find((section) => section.name === "__versions");
  return {
    name,
    elf,
    sections,
    symbols: elf.symbols(tables[0]),
    symbolTable: tables[0]!,
    strings: elf.sectionAt(tables[0]!.link),
    info,
    vermagic: info.get("vermagic")?.[0] ?? "",
    depends: (info.get("depends")?.[0] ?? "").split(",").filter((each) => each !== ""),
    gpl: GPL.has(info.get("license")?.[0] ?? "unspecified"),
    versions: versions ? readVersions(elf.bytesOf(versions)) : new Map(),
    percpu: sections.find((section) => section.name === ".data..percpu" && section.allocated),
  };
}

const missing = (label: string, what: string): ModuleError => new ModuleError("missing-section", label, what);

/** Zero-terminated `key=value` strings. */
function readInfo(bytes: Uint8Array): Map<string, string[]> {
  const info = new Map<string, string[]>();
  for (const entry of latin1(bytes).split("\0")) {
    const equals = entry.indexOf("=");
    if (equals < 1) continue;
    const key = entry.slice(0, equals);
    const values = info.get(key);
    if (values) values.push(entry.slice(equals + 1));
    else info.set(key, [entry.slice(equals + 1)]);
  }
  return info;
}

function readVersions(bytes: Uint8Array): Map<string, number> {
  const versions = new Map<string, number>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + VERSION_ENTRY <= bytes.length; at += VERSION_ENTRY) {
    const name = latin1(bytes.subarray(at + 8, at + VERSION_ENTRY));
    versions.set(name.slice(0, name.indexOf("\0") >>> 0), view.getUint32(at, true));
  }
  return versions;
}
