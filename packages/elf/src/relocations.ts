/** Relocation tables, with and without addends. */
import { ElfError, FETCH_AGAIN } from "./errors.js";
import { entrySize } from "./header.js";
import { checkSectionType, SectionType, type ElfSection } from "./sections.js";
import type { Window } from "./window.js";

/** r_type for EM_X86_64 as kernels and modules use it. @source System V ABI, AMD64 supplement, "Relocation Types" */
export enum X86Relocation {
  None = 0,
  Abs64 = 1,
  Pc32 = 2,
  Plt32 = 4,
  Abs32 = 10,
  Abs32Signed = 11,
  Pc64 = 24,
}

/**
 * Parallel arrays, because a module has tens of thousands of entries; entry i is offset[i], type[i], symbol[i],
 * addend[i].
 */
export interface Relocations {
  readonly count: number;
  /** Section the offsets are in (sh_info); 0 for none. */
  readonly target: number;
  /** Section of the symbol table (sh_link). */
  readonly symbolTable: number;
  /** Whether entries carry addends; without, the addend lies at the place relocated and `addend` is 0. */
  readonly explicit: boolean;
  /**
   * Byte offset into the target, or an address in an executable; exact below 2^53, above it too large for any section.
   */
  readonly offset: Float64Array;
  readonly type: Uint32Array;
  readonly symbol: Uint32Array;
  /** Exact: beyond 2^53 in size is refused. */
  readonly addend: Float64Array;
}

/** @throws ElfError for a table that is not one, or an addend beyond 2^53 */
export function readRelocations(window: Window, section: ElfSection): Relocations {
  checkSectionType(section, [SectionType.Rela, SectionType.Rel], "sh_type of a relocation table");
  const explicit = section.type === SectionType.Rela;
  const entry = explicit ? 24 : 16;
  entrySize(window, section.headerOffset + 56, `section ${section.index} sh_entsize`, entry, true);
  const count = Math.floor(section.size / entry);
  const view = new DataView(window.bytes.buffer, window.bytes.byteOffset + section.offset, section.size);
  const offset = new Float64Array(count);
  const addend = new Float64Array(count);
  const type = new Uint32Array(count);
  const symbol = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const at = i * entry;
    offset[i] = view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
    type[i] = view.getUint32(at + 8, true);
    symbol[i] = view.getUint32(at + 12, true);
    if (!explicit) continue;
    const high = view.getInt32(at + 20, true);
    if (high < -0x20_0000 || high >= 0x20_0000)
      throw new ElfError(
        "bad-addend",
        section.offset + at + 16,
        `section ${section.index} entry ${i} r_addend`,
        "beyond 2^53",
        FETCH_AGAIN,
      );
    addend[i] = view.getUint32(at + 16, true) + high * 0x1_0000_0000;
  }
  return { count, target: section.info, symbolTable: section.link, explicit, offset, type, symbol, addend };
}
