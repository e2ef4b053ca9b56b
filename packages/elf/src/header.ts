/** The ELF header and the program headers. */
import { ElfError, FETCH_AGAIN } from "./errors.js";
import type { Window } from "./window.js";

/** e_type. @source System V ABI, "ELF Header" */
export enum FileType {
  Relocatable = 1,
  Executable = 2,
  Shared = 3,
  Core = 4,
}
/** e_machine of the files this project reads. */
export enum MachineType {
  X86_64 = 62,
  Bpf = 247,
}

/** What the first 64 bytes say; counts already resolved through section 0 where they overflow. */
export interface ElfHeader {
  readonly type: FileType | number;
  readonly machine: MachineType | number;
  readonly entry: bigint;
  readonly flags: number;
  readonly programOffset: number;
  readonly programCount: number;
  readonly sectionOffset: number;
  readonly sectionCount: number;
  /** Section that holds the section names; 0: none. */
  readonly namesSection: number;
}

/** p_type. @source System V ABI, "Program Header" */
export enum SegmentType {
  Null = 0,
  Load = 1,
  Dynamic = 2,
  Note = 4,
}

/** A program header. `offset` and `fileBytes` lie in the file; `memoryBytes` is only what the file claims. */
export interface ElfSegment {
  readonly type: SegmentType | number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  readonly offset: number;
  readonly fileBytes: number;
  readonly address: bigint;
  readonly physicalAddress: bigint;
  readonly memoryBytes: bigint;
  readonly align: bigint;
}

const HEADER_BYTES = 64;
const PROGRAM_ENTRY = 56;
export const SECTION_ENTRY = 64;
/** e_shnum or e_phnum does not fit: the number is in section 0. */
const PN_XNUM = 0xffff;
const SHN_XINDEX = 0xffff;

/** @throws ElfError when it is not a 64-bit little-endian ELF file, or its tables do not lie in it */
export function readHeader(window: Window): ElfHeader {
  if (window.bytes.length < 4 || window.u32(0, "e_ident") !== 0x464c_457f) {
    throw new ElfError(
      "not-elf",
      0,
      "e_ident",
      "does not begin with 7f 45 4c 46",
      "give an ELF file (a vmlinuz has to be unpacked first)",
    );
  }
  if (window.u8(4, "EI_CLASS") !== 2)
    throw new ElfError("wrong-class", 4, "EI_CLASS", `${window.u8(4, "EI_CLASS")} is not 2`, "give a 64-bit ELF file");
  if (window.u8(5, "EI_DATA") !== 1)
    throw new ElfError(
      "wrong-order",
      5,
      "EI_DATA",
      `${window.u8(5, "EI_DATA")} is not 1`,
      "give a little-endian ELF file",
    );
  window.need(0, HEADER_BYTES, "ELF header");
  const programOffset = window.size(32, "e_phoff");
  const sectionOffset = window.size(40, "e_shoff");
  let programCount = window.u16(56, "e_phnum");
  let sectionCount = window.u16(60, "e_shnum");
  let namesSection = window.u16(62, "e_shstrndx");
  if (sectionOffset !== 0) {
    entrySize(window, 58, "e_shentsize", SECTION_ENTRY);
    window.need(sectionOffset, SECTION_ENTRY, "e_shoff", 40);
    if (sectionCount === 0) sectionCount = window.size(sectionOffset + 32, "section 0 sh_size");
    if (namesSection === SHN_XINDEX) namesSection = window.u32(sectionOffset + 40, "section 0 sh_link");
    if (programCount === PN_XNUM) programCount = window.u32(sectionOffset + 44, "section 0 sh_info");
    window.need(sectionOffset, sectionCount * SECTION_ENTRY, "e_shnum", 60);
  } else sectionCount = namesSection = 0;
  if (programCount > 0) {
    entrySize(window, 54, "e_phentsize", PROGRAM_ENTRY);
    window.need(programOffset, programCount * PROGRAM_ENTRY, "e_phnum", 56);
  }
  return {
    type: window.u16(16, "e_type"),
    machine: window.u16(18, "e_machine"),
    entry: window.u64(24, "e_entry"),
    flags: window.u32(48, "e_flags"),
    programOffset,
    programCount,
    sectionOffset,
    sectionCount,
    namesSection,
  };
}

/** @throws ElfError "bad-entry-size": a table with entries of another size cannot be read */
export function entrySize(window: Window, at: number, field: string, wanted: number, wide = false): void {
  const found = wide ? window.size(at, field) : window.u16(at, field);
  if (found !== wanted)
    throw new ElfError("bad-entry-size", at, field, `entries of ${found} bytes, not ${wanted}`, FETCH_AGAIN);
}

/** @throws ElfError when a segment's bytes do not lie in the file */
export function readSegments(window: Window, header: ElfHeader): ElfSegment[] {
  const segments: ElfSegment[] = [];
  for (let i = 0; i < header.programCount; i++) {
    const at = header.programOffset + i * PROGRAM_ENTRY;
    const field = (name: string): string => `segment ${i} ${name}`;
    const flags = window.u32(at + 4, field("p_flags"));
    const offset = window.size(at + 8, field("p_offset"));
    const fileBytes = window.size(at + 32, field("p_filesz"));
    const type = window.u32(at, field("p_type"));
    if (type !== 0) window.need(offset, fileBytes, field("p_offset + p_filesz"), at + 8);
    segments.push({
      type,
      executable: (flags & 1) !== 0,
      writable: (flags & 2) !== 0,
      readable: (flags & 4) !== 0,
      offset,
      fileBytes,
      address: window.u64(at + 16, field("p_vaddr")),
      physicalAddress: window.u64(at + 24, field("p_paddr")),
      memoryBytes: window.u64(at + 40, field("p_memsz")),
      align: window.u64(at + 48, field("p_align")),
    });
  }
  return segments;
}
