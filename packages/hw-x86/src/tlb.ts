/**
 * One translation look-aside buffer, for one page size or two. True LRU in each set. Allocates nothing.
 *
 *   set     = low bits of the page number in units of the page size; sets are a power of two
 *   entries [(set * ways + way) * 4]      four words an entry, at their place for good
 *     0  page     virtual page number 31..0, bits below the page size zero
 *     1  tag      31 | 29    | 28     | 27 .. 25 | 24 .. 13 | 12 .. 0             -1 is empty
 *                  0 | large | global | thread   | PCID     | page number 44..32
 *     2  frame    first frame of the page
 *     3  denials  see walker.ts
 *   order   [set]                         up to 8 ways: nibble n is the way of the n-th last use, unused nibbles 15;
 *                                         more ways: the way used last, the whole order in bytes of `wide`
 *   regions [page / 512, low bits]        if asked for: how many entries lie in the 2 MiB regions with these bits
 *
 * An address is looked up with two tags: that of its PCID, and the one a global entry would have. Threads of a core
 * share the places, never the entries: a PCID means something only to the thread that loaded it. Empty ways are last in
 * the order.
 */
import { Pattern } from "./bit-patterns.js";
import { moved } from "./moved.js";
import type { TranslationBuffer } from "./parts.js";
import type { TlbSpec } from "./spec.js";

/** What {@link Tlb.lookup} returns when no entry fits. */
export const MISS = -1;
/** Fields of a tag: an enum for bit-patterns.ts's reason. */
export const enum Tag {
  Large = 1 << 29,
  Global = 1 << 28,
  Thread = 7 << 25,
  Pcid = 0xfff << 13,
  /** Page number 44..32. */
  Page = 0x1fff,
}
const EMPTY = -1;
/** Length of {@link Tlb.regions}. */
export const REGIONS = 1024;
/** Place in {@link Tlb.regions} of a page number. */
export const regionAt = (page: number): number => (page >>> 9) & (REGIONS - 1);

/** One translation look-aside buffer, for one page size or two. True LRU in each set; allocates nothing. */
export class Tlb implements TranslationBuffer {
  entries: Int32Array;
  /** Word 0 of each entry once more, side by side: a search reads a quarter as much. */
  private pages: Int32Array;
  order: Int32Array;
  readonly ways: number;
  /** Sets - 1. */
  readonly setMask: number;
  /** Bits of an order word that hold the way used last. */
  readonly lastMask: number;
  /**
   * For TLBs of 4 KiB pages, by {@link regionAt}, from {@link countRegions} on: 0 says that no page of the region is
   * here.
   */
  regions: Uint16Array;
  private counting: number;
  /** 1: up to 8 ways. */
  private readonly narrow: number;
  /** Nibbles of an order word that hold ways. */
  private readonly orderMask: number;
  private readonly oldestShift: number;
  /** Empty up to 8 ways. */
  private readonly wide: Uint8Array;
  /** Whether anything was ever filled since the last time all was forgotten: an empty TLB need not be asked. */
  used: number;

  /** @param regions keeps {@link Tlb.regions} */
  constructor(shape: TlbSpec, regions = false) {
    const narrow = shape.ways <= 8;
    this.used = 0;
    this.counting = 0;
    this.narrow = narrow ? 1 : 0;
    this.ways = shape.ways | 0;
    this.setMask = (shape.entries / shape.ways - 1) | 0;
    this.lastMask = narrow ? 15 : 255;
    this.orderMask = shape.ways >= 8 ? -1 : (1 << (4 * shape.ways)) - 1;
    this.oldestShift = (4 * (shape.ways - 1)) | 0;
    this.entries = new Int32Array(shape.entries * 4).fill(EMPTY);
    this.pages = new Int32Array(shape.entries).fill(EMPTY);
    this.order = new Int32Array(this.setMask + 1).fill(narrow ? (0x7654_3210 & this.orderMask) | ~this.orderMask : 0);
    this.regions = new Uint16Array(regions ? REGIONS : 0);
    this.wide = new Uint8Array(narrow ? 0 : shape.entries).map((_, index) => index % shape.ways);
  }

  /** Bytes of host memory. */
  get hostBytes(): number {
    return (
      this.entries.byteLength +
      this.pages.byteLength +
      this.order.byteLength +
      this.wide.byteLength +
      this.regions.byteLength
    );
  }

  /**
   * Uses an entry.
   * @param index page number in units of this TLB's page size
   * @returns position of the entry's first word, or {@link MISS}
   */
  lookup(index: number, page: number, tag: number, globalTag: number): number {
    const pages = this.pages;
    const ways = this.ways | 0;
    const set = index & (this.setMask | 0);
    const first = Math.imul(set, ways);
    for (let way = 0; way < ways; way = (way + 1) | 0) {
      if (pages[first + way] !== page) continue;
      const at = (first + way) << 2;
      const found = this.entries[at + 1];
      if (found !== tag && found !== globalTag) continue;
      this.promote(set, way);
      return at;
    }
    return MISS;
  }

  /** Enters a page that is not there, in place of the entry unused longest. */
  insert(index: number, page: number, tag: number, frame: number, denials: number): void {
    const set = index & (this.setMask | 0);
    let way: number;
    if (this.narrow !== 0) {
      const order = this.order;
      const word = order[set]! | 0;
      const mask = this.orderMask | 0;
      way = (word >>> (this.oldestShift | 0)) & 15;
      order[set] = (((word << 4) | way) & mask) | ~mask;
    } else way = this.oldestWide(set);
    const slot = (Math.imul(set, this.ways | 0) + way) | 0;
    const at = slot << 2;
    const entries = this.entries;
    if (this.counting !== 0) this.replaced(at, page);
    // | 0: an argument of a call that is not inlined would go by way of a double.
    this.pages[slot] = page | 0;
    entries[at] = page | 0;
    entries[at + 1] = tag | 0;
    entries[at + 2] = frame | 0;
    entries[at + 3] = denials | 0;
    this.used = 1;
  }

  /** Goes on in another buffer, from these bytes on; the regions only if it keeps them. */
  moveTo(buffer: ArrayBuffer, entriesAt: number, pagesAt: number, orderAt: number, regionsAt: number): void {
    this.entries = moved(this.entries, new Int32Array(buffer, entriesAt, this.entries.length));
    this.pages = moved(this.pages, new Int32Array(buffer, pagesAt, this.pages.length));
    this.order = moved(this.order, new Int32Array(buffer, orderAt, this.order.length));
    if (this.regions.length !== 0)
      this.regions = moved(this.regions, new Uint16Array(buffer, regionsAt, this.regions.length));
  }

  /** Forgets the entries of one page whose tag has these bits. */
  drop(index: number, page: number, mask: number, bits: number): void {
    if (this.used === 0) return;
    const set = index & this.setMask;
    for (let way = 0; way < this.ways; way++) {
      const at = (set * this.ways + way) << 2;
      const tag = this.entries[at + 1]!;
      if (this.entries[at] === page && tag !== EMPTY && (tag & mask) === bits) this.remove(set, way);
    }
  }

  /** Forgets every entry whose tag has these bits; a mask of 0 forgets all. */
  flush(mask: number, bits: number): void {
    if (this.used === 0) return;
    const { entries, ways } = this;
    let left = 0;
    for (let at = 0, slot = 0; at < entries.length; at += 4, slot++) {
      const tag = entries[at + 1]!;
      if (tag === EMPTY) continue;
      if ((tag & mask) === bits) this.remove(Math.floor(slot / ways), slot % ways);
      else left = 1;
    }
    this.used = left;
  }

  /** From here on {@link Tlb.regions} is right: until there is a large page nobody asks it. */
  countRegions(): void {
    if (this.counting !== 0 || this.regions.length === 0) return;
    this.counting = 1;
    for (let at = 0; at < this.entries.length; at += 4)
      if (this.entries[at + 1] !== EMPTY) this.count(this.entries[at]!, 1);
  }

  private replaced(at: number, page: number): void {
    if (this.entries[at + 1] !== EMPTY) this.count(this.entries[at]!, -1);
    this.count(page, 1);
  }

  /** The way unused longest, which becomes the one used last. */
  private oldestWide(set: number): number {
    const way = this.wide[Math.imul(set, this.ways | 0) + (this.ways | 0) - 1]!;
    this.promoteWide(set, way);
    return way;
  }

  private count(page: number, more: number): void {
    const { regions } = this;
    const at = regionAt(page);
    regions[at] = regions[at]! + more;
  }

  /** Makes a way the one used last. */
  private promote(set: number, way: number): void {
    if (this.narrow === 0) {
      this.promoteWide(set, way);
      return;
    }
    const word = this.order[set]!;
    // The lowest nibble that equals `way` becomes 0 under exclusive or, and its top bit the lowest of `zero`.
    const other = word ^ Math.imul(way | 0, Pattern.Nibbles);
    const zero = (other - Pattern.Nibbles) & ~other & Pattern.NibbleTops;
    const upTo = ((zero & -zero) << 1) - 1;
    this.order[set] = (word & ~upTo) | ((word << 4) & upTo) | way;
  }

  private promoteWide(set: number, way: number): void {
    const wide = this.wide;
    const first = Math.imul(set, this.ways | 0);
    let place = first;
    while (wide[place] !== way) place++;
    for (; place > first; place--) wide[place] = wide[place - 1]!;
    wide[first] = way;
    this.order[set] = way;
  }

  /** Empties a way and makes it the next to be filled. */
  private remove(set: number, way: number): void {
    const { entries, order, wide, ways } = this;
    const at = (set * ways + way) << 2;
    if (this.counting !== 0) this.count(entries[at]!, -1);
    entries[at] = EMPTY;
    entries[at + 1] = EMPTY;
    this.pages[set * ways + way] = EMPTY;
    this.promote(set, way);
    if (wide.length === 0) {
      // Out of the lowest nibble, into the highest.
      const mask = this.orderMask;
      const word = order[set]! & mask;
      order[set] = ((word >>> 4) & (mask >>> 4)) | (way << this.oldestShift) | ~mask;
      return;
    }
    const first = set * ways;
    wide.copyWithin(first, first + 1, first + ways);
    wide[first + ways - 1] = way;
    order[set] = wide[first]!;
  }
}
