/** A module's memory while it is being made: host bytes at kernel addresses, written freely until it is formed. */
import { PAGE_BYTES } from "@kreplica/hw-x86/api";
import { SectionType, type ElfSection } from "@kreplica/elf";
import { alignTo } from "./layout.js";
import type { ModuleFile } from "./module-file.js";
import type { ByteSource } from "./symbols.js";

/** A run of the image's memory. */
export interface ImagePart<P extends string = string> {
  readonly part: P;
  /** Signed address of its first byte. */
  readonly base: number;
  /** Whole pages. */
  readonly bytes: Uint8Array;
}

/** @typeParam P names of the parts: the seven memory types, or core and init */
export class ModuleImage<P extends string = string> implements ByteSource {
  readonly parts: readonly ImagePart<P>[];
  /** Signed address of each section by index; NaN for one that is not kept. */
  readonly sectionAddress: Float64Array;

  /**
   * @param places where each section goes; undefined for one that is not kept
   * @param sizes bytes of each part
   * @param baseOf signed address of a part that has bytes
   */
  constructor(
    readonly file: ModuleFile,
    places: readonly ({ readonly part: P; readonly offset: number } | undefined)[],
    sizes: Readonly<Record<P, number>>,
    baseOf: (part: P) => number,
  ) {
    this.parts = (Object.entries(sizes) as [P, number][])
      .filter(([, bytes]) => bytes > 0)
      .map(([part, bytes]) => ({ part, base: baseOf(part), bytes: new Uint8Array(alignTo(bytes, PAGE_BYTES)) }));
    this.sectionAddress = new Float64Array(file.sections.length).fill(NaN);
    for (const section of file.sections) {
      const place = places[section.index];
      if (!place) continue;
      const part = this.parts.find((each) => each.part === place.part);
      if (!part) continue; // an empty section of an empty part
      this.sectionAddress[section.index] = part.base + place.offset;
      if (section.type !== SectionType.Nobits) part.bytes.set(file.elf.bytesOf(section), place.offset);
    }
  }

  /** The section's bytes as they are now; undefined when it is not kept. */
  bytesOf(section: ElfSection): Uint8Array | undefined {
    const address = this.sectionAddress[section.index]!;
    return Number.isNaN(address) ? undefined : this.bytes(address, section.size);
  }

  bytes(address: number, length: number): Uint8Array | undefined {
    for (const { base, bytes } of this.parts) {
      if (address >= base && address + length <= base + bytes.length)
        return bytes.subarray(address - base, address - base + length);
    }
    return undefined;
  }

  /** First kept section of that name. */
  section(name: string): ElfSection | undefined {
    return this.file.sections.find(
      (section) => section.name === name && !Number.isNaN(this.sectionAddress[section.index]!),
    );
  }
}
