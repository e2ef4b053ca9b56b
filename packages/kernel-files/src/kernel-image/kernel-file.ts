/** A real kernel as input: unpacked, laid out as the boot loader lays it out, with its relocation lists and symbols. */
import { type AddressRange, bytesAt, hex, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { ElfError, type ElfFile, FileType, MachineType, readElf, SegmentType } from "@kreplica/elf";
import { InputError } from "@kreplica/inputs";
import { kernelImage, type KernelImage, type SectionHeader } from "@kreplica/mm-core";
import { embeddedSymbols, type KernelSymbol } from "./kallsyms.js";
import { LARGEST_KERNEL, type Packing, unpackKernel } from "./payload.js";
import { applyRelocations, type KernelRelocations, readRelocationLists } from "./relocations.js";

/** Where physical address 0 of the linked image is mapped: __START_KERNEL_map. */
const KERNEL_MAP = 0xffff_ffff_8000_0000n;

/**
 * A kernel read from a file. All addresses as linked; {@link KernelFile.relocated} gives bytes as at another address.
 */
export interface KernelFile {
  readonly file: string;
  readonly packing: Packing;
  readonly elf: ElfFile;
  /** First address of {@link memory}: where the lowest segment lies. */
  readonly base: bigint;
  /** Bytes from {@link base} to the end of the last segment, .bss included as zeros. */
  readonly memory: Uint8Array;
  readonly sections: readonly SectionHeader[];
  readonly symbols: readonly KernelSymbol[];
  readonly symbolsFrom: "list" | "kallsyms in the image" | "ELF symbol table" | "none";
  /** What KASLR applies; undefined for a file without the lists. */
  readonly relocations: KernelRelocations | undefined;
  /** What it calls itself in its banner, `6.1.0-56-amd64`; undefined where no symbol says where that is. */
  readonly release: string | undefined;
  /** Address of a symbol; the first of several of that name. */
  symbol(name: string): bigint | undefined;
  /** A view of linked addresses [start, end). @throws InputError outside the image */
  bytes(range: AddressRange): Uint8Array;
  /**
   * A copy of {@link memory} as KASLR moves it.
   * @param delta bytes, a multiple of 2 MiB
   * @throws InputError without relocation lists, unless 0
   */
  relocated(delta: bigint): Uint8Array;
}

/**
 * Reads a vmlinux, or a vmlinuz as distributions pack it.
 *
 * @param file as errors name it
 * @param list symbols to use in place of the file's own: those of a System.map
 * @throws InputError for anything unusable, with the place
 */
export async function kernelFromBytes(
  bytes: Uint8Array,
  file: string,
  list?: readonly KernelSymbol[],
): Promise<KernelFile> {
  const { elf: whole, packing } = await unpackKernel(bytes, file);
  const name = packing === "none" ? file : `${file} (unpacked)`;
  try {
    const elf = readElf(whole);
    if (elf.header.machine !== MachineType.X86_64 || elf.header.type !== FileType.Executable) {
      throw new InputError({
        file: name,
        offset: 16,
        field: "e_type, e_machine",
        reason: `type ${elf.header.type} for machine ${elf.header.machine} is not an x86-64 kernel`,
        remedy: "give a vmlinux or vmlinuz for x86-64",
      });
    }
    const { base, memory } = load(elf, name);
    const sections = sectionHeaders(elf, bytesAt(base, memory.length), name);
    const fromElf = elf.symbols();
    let symbols = list;
    let symbolsFrom: KernelFile["symbolsFrom"] = "list";
    if (!symbols && fromElf.length > 1) {
      symbolsFrom = "ELF symbol table";
      symbols = fromElf
        .filter((symbol) => symbol.section !== 0 && symbol.name !== "")
        .map((symbol) => ({ address: symbol.value, type: symbol.binding === 0 ? "t" : "T", name: symbol.name }));
    }
    if (!symbols) {
      symbols = embeddedSymbols(memory, base);
      symbolsFrom = symbols ? "kallsyms in the image" : "none";
    }
    const tableEnd = Math.max(
      elf.header.sectionOffset + 64 * elf.header.sectionCount,
      ...elf.sections.map((section) => (elf.bytesOf(section).length > 0 ? section.offset + section.size : 0)),
    );
    const relocations =
      packing === "none" && elf.sections.length === 0
        ? undefined
        : readRelocationLists(whole.subarray(tableEnd), name, tableEnd);
    return makeKernelFile(
      { file, packing, elf, base, memory, sections, symbols: symbols ?? [], symbolsFrom, relocations },
      name,
    );
  } catch (error) {
    if (error instanceof ElfError)
      throw new InputError({
        file: name,
        offset: error.offset,
        field: error.field,
        reason: error.reason,
        remedy: error.remedy,
      });
    throw error;
  }
}

/**
 * Segments go where their physical addresses say; the per-CPU segment is linked at 0 and lies with the others all the
 * same.
 */
function load(elf: ElfFile, file: string): { base: bigint; memory: Uint8Array } {
  const segments = elf.segments.filter((segment) => segment.type === SegmentType.Load && segment.memoryBytes > 0n);
  const fault = (field: string, reason: string): never => {
    throw new InputError({ file, field, reason, remedy: "give a vmlinux or vmlinuz for x86-64" });
  };
  if (segments.length === 0) return fault("program headers", "nothing to load");
  let low = segments[0]!.physicalAddress;
  let high = 0n;
  for (const segment of segments) {
    const end = segment.physicalAddress + segment.memoryBytes;
    if (segment.memoryBytes < BigInt(segment.fileBytes))
      fault("p_memsz", `${segment.memoryBytes} is less than p_filesz ${segment.fileBytes}`);
    if (segment.physicalAddress < low) low = segment.physicalAddress;
    if (end > high) high = end;
  }
  if (low % BigInt(PAGE_BYTES) !== 0n) fault("p_paddr", `the image begins at ${hex(low)}, not on a page`);
  if (high > 0x8000_0000n || high - low > BigInt(LARGEST_KERNEL))
    fault(
      "p_paddr + p_memsz",
      `the image spans ${hex(low)} to ${hex(high)}, more than ${LARGEST_KERNEL} bytes or beyond 2 GiB`,
    );
  const memory = new Uint8Array(Number(high - low));
  for (const segment of segments)
    memory.set(
      elf.bytes.subarray(segment.offset, segment.offset + segment.fileBytes),
      Number(segment.physicalAddress - low),
    );
  return { base: KERNEL_MAP + low, memory };
}

function sectionHeaders(elf: ElfFile, loaded: AddressRange, file: string): SectionHeader[] {
  const headers: SectionHeader[] = [];
  for (const section of elf.sections) {
    // The per-CPU section is linked at 0: not where it lies before its copies are made.
    if (!section.allocated || section.address < loaded.start) continue;
    if (section.address + BigInt(section.size) > loaded.end) {
      throw new InputError({
        file,
        offset: section.headerOffset + 16,
        field: `section ${section.index} sh_addr + sh_size`,
        reason: `${section.name} ends outside the segments`,
        remedy: "the file is damaged: fetch or build it again",
      });
    }
    headers.push({
      name: section.name,
      address: section.address,
      bytes: BigInt(section.size),
      writable: section.writable,
      executable: section.executable,
      occupies: true,
    });
  }
  return headers;
}

type Parts = Omit<KernelFile, "symbol" | "bytes" | "relocated" | "release">;

function makeKernelFile(parts: Parts, name: string): KernelFile {
  const { base, memory, relocations } = parts;
  const byName = new Map<string, bigint>();
  for (const { name: symbol, address } of parts.symbols) if (!byName.has(symbol)) byName.set(symbol, address);
  return {
    ...parts,
    release: releaseOf(parts, byName.get("linux_banner")),
    symbol: (wanted) => byName.get(wanted),
    bytes({ start, end }) {
      const from = Number(start - base);
      const to = Number(end - base);
      if (!(from >= 0 && to >= from && to <= memory.length)) {
        throw new InputError({
          file: name,
          reason: `addresses ${hex(start)} to ${hex(end)} are not in the image`,
          remedy: "use symbols of the same build",
        });
      }
      return memory.subarray(from, to);
    },
    relocated(delta) {
      const copy = memory.slice();
      if (delta === 0n) return copy;
      if (!relocations)
        throw new InputError({
          file: name,
          field: "relocation lists",
          reason: "has none, so that it cannot be moved",
          remedy: "give the vmlinuz, or boot without KASLR",
        });
      applyRelocations(relocations, copy, base, delta, name);
      return copy;
    },
  };
}

/** The word behind "Linux version " where the banner lies. */
function releaseOf({ base, memory }: Parts, banner: bigint | undefined): string | undefined {
  if (banner === undefined || banner < base || banner >= base + BigInt(memory.length)) return undefined;
  const at = Number(banner - base);
  return /^Linux version (\S{1,64}) /.exec(new TextDecoder("latin1").decode(memory.subarray(at, at + 96)))?.[1];
}

/**
 * The kernel as the model boots it, with its real bytes.
 * @throws MmError bad-image when symbols that bound its parts are missing
 */
export function imageOf(kernel: KernelFile, alignment: "recorded" | "patch-06" = "recorded"): KernelImage {
  const symbols = new Map<string, bigint>();
  for (const { name, address } of kernel.symbols) if (!symbols.has(name)) symbols.set(name, address);
  return kernelImage({
    name: kernel.release === undefined ? kernel.file : `Linux ${kernel.release}`,
    sections: kernel.sections,
    symbols,
    alignment,
    readPage(address, into) {
      const from = Number(address - kernel.base);
      into.fill(0);
      if (from > -PAGE_BYTES && from < kernel.memory.length)
        into.set(
          kernel.memory.subarray(Math.max(from, 0), Math.min(from + PAGE_BYTES, kernel.memory.length)),
          Math.max(-from, 0),
        );
    },
  });
}
