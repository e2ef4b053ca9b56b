/**
 * What a root says about 4 KiB pages, read into arrays a caller keeps: frame and flags of 512 pages at a time.
 *
 *   flags   P 1 | W 2 | U 4 | PWT 8 | PCD 16 | G 32 | NX 64
 */
import {
  Bit,
  type Frame,
  frameOf,
  isLeaf,
  isPresent,
  leafFrame,
  NONE,
  PAGE,
  type PageRange,
  type PhysMemory,
  tableIndex,
} from "@kreplica/hw-x86/api";
import type { KernelLayout } from "@kreplica/mm-core/api";

export enum Flag {
  Present = 1,
  Writable = 2,
  User = 4,
  WriteThrough = 8,
  CacheDisable = 16,
  Global = 32,
  NoExecute = 64,
}

/** Flags of a leaf, by its words. */
export const flagsOf = (lo: number, hi: number): number =>
  (lo & (Bit.Present | Bit.Writable | Bit.User | Bit.WriteThrough | Bit.CacheDisable)) |
  (lo & Bit.Global ? Flag.Global : 0) |
  (hi >>> 31 ? Flag.NoExecute : 0);

/** Frames and flags of pages that follow one another; a page that is not mapped has flags 0. */
export interface Pages {
  readonly frames: Float64Array;
  readonly flags: Uint8Array;
}

/** The two PMD pages of the last two gigabytes, in the order of addresses; NONE where the way to one ends before. */
export type WindowTables = readonly [Frame, Frame];

/** The PTE page an entry of a window's tables names, or NONE. @param lo @param hi the entry */
export const smallTable = (lo: number, hi: number): Frame => (isPresent(lo) && !isLeaf(lo, 2) ? frameOf(lo, hi) : NONE);

/** Reads the entries of many pages at once, from the bytes of a root's tables. */
export class PageReader {
  constructor(
    private readonly memory: PhysMemory,
    private readonly layout: Pick<KernelLayout, "levels" | "kernelMap">,
  ) {}

  /** The entry of a table of a level on the way to an address; undefined where the way ends before. */
  entry(
    root: Frame,
    address: bigint,
    level: number,
  ): { readonly table: Frame; readonly index: number; readonly lo: number; readonly hi: number } | undefined {
    let table = root;
    for (let at: number = this.layout.levels; ; at--) {
      const index = tableIndex(address, at);
      const lo = this.memory.read32(table, index * 2);
      const hi = this.memory.read32(table, index * 2 + 1);
      if (at === level) return { table, index, lo, hi };
      if (!isPresent(lo) || isLeaf(lo, at)) return undefined;
      table = frameOf(lo, hi);
    }
  }

  /** Where a root's PMD entries of the last two gigabytes stand. */
  window(root: Frame): WindowTables {
    const table = (half: bigint): Frame =>
      this.entry(root, this.layout.kernelMap + half * 0x4000_0000n, 2)?.table ?? NONE;
    return [table(0n), table(1n)];
  }

  /** Reads `pages` pages from an address in the last two gigabytes, or wherever no 1 GiB leaf is. */
  read(root: Frame, { start, pages }: PageRange): Pages {
    const frames = new Float64Array(pages);
    const flags = new Uint8Array(pages);
    for (let page = 0; page < pages;) {
      const address = start + BigInt(page) * PAGE;
      const within = Number((address >> 12n) & 511n);
      const count = Math.min(512 - within, pages - page);
      this.readLarge(root, address, within, count, frames, flags, page);
      page += count;
    }
    return { frames, flags };
  }

  private readLarge(
    root: Frame,
    address: bigint,
    within: number,
    count: number,
    frames: Float64Array,
    flags: Uint8Array,
    at: number,
  ): void {
    const found = this.entry(root, address, 2);
    if (!found) {
      const huge = this.entry(root, address, 3);
      if (!huge || !isPresent(huge.lo) || !isLeaf(huge.lo, 3)) return;
      const first = leafFrame(huge.lo, huge.hi, 3) + Number((address >> 12n) & 0x3ffffn);
      for (let each = 0; each < count; each++) {
        frames[at + each] = first + each;
        flags[at + each] = flagsOf(huge.lo, huge.hi);
      }
      return;
    }
    if (!isPresent(found.lo)) return;
    const lower = frameOf(found.lo, found.hi);
    for (let each = 0; each < count; each++) {
      if (isLeaf(found.lo, 2)) {
        frames[at + each] = leafFrame(found.lo, found.hi, 2) + within + each;
        flags[at + each] = flagsOf(found.lo, found.hi);
        continue;
      }
      const lo = this.memory.read32(lower, (within + each) * 2);
      if (!isPresent(lo)) continue;
      const hi = this.memory.read32(lower, (within + each) * 2 + 1);
      frames[at + each] = frameOf(lo, hi);
      flags[at + each] = flagsOf(lo, hi);
    }
  }
}
