/**
 * One translation look-aside buffer, for one page size or two. True LRU in each set. Allocates nothing.
 *
 *   set     = low bits of the page number in units of the page size; sets are a power of two
 *   order   [set * ways + n]              way of the n-th last use
 *   entries [(set * ways + way) * 4]      four words an entry, at their place for good
 *     0  page     virtual page number 31..0, bits below the page size zero
 *     1  tag      31 | 29    | 28     | 27 .. 25 | 24 .. 13 | 12 .. 0             -1 is empty
 *                  0 | large | global | thread   | PCID     | page number 44..32
 *     2  frame    first frame of the page
 *     3  denials  see walker.ts
 *
 * An address is looked up with two tags: that of its PCID, and the one a global entry would have. Threads of a core share
 * the places, never the entries: a PCID means something only to the thread that loaded it. Empty ways are last in the order.
 */
import type { TlbSpec } from "./spec.js";

/** What {@link Tlb.lookup} returns when no entry fits. */
export const MISS = -1;
export const TAG_LARGE = 1 << 29;
export const TAG_GLOBAL = 1 << 28;
export const TAG_THREAD = 7 << 25;
export const TAG_PCID = 0xfff << 13;
/** Page number 44..32. */
export const TAG_PAGE = 0x1fff;
const EMPTY = -1;

export class Tlb {
  readonly entries: Int32Array;
  readonly order: Uint8Array;
  readonly ways: number;
  /** Sets - 1. */
  readonly setMask: number;
  /** Whether anything was ever filled since the last time all was forgotten: an empty TLB need not be asked. */
  used: boolean;

  constructor(shape: TlbSpec) {
    this.used = false;
    this.ways = shape.ways | 0;
    this.setMask = (shape.entries / shape.ways - 1) | 0;
    this.entries = new Int32Array(shape.entries * 4).fill(EMPTY);
    this.order = new Uint8Array(shape.entries).map((_, index) => index % shape.ways);
  }

  /** Uses an entry. @param index page number in units of this TLB's page size @returns position of the entry's first word, or {@link MISS} */
  lookup(index: number, page: number, tag: number, globalTag: number): number {
    const { entries, order } = this;
    const first = Math.imul(index & (this.setMask | 0), this.ways | 0);
    const end = first + (this.ways | 0);
    for (let place = first; place < end; place++) {
      const way = order[place]!;
      const at = (first + way) << 2;
      if (entries[at] !== page) continue;
      const found = entries[at + 1];
      if (found !== tag && found !== globalTag) continue;
      for (let to = place; to > first; to--) order[to] = order[to - 1]!;
      order[first] = way;
      return at;
    }
    return MISS;
  }

  /** Enters a page that is not there, in place of the entry unused longest. */
  insert(index: number, page: number, tag: number, frame: number, denials: number): void {
    const { entries, order } = this;
    const first = Math.imul(index & (this.setMask | 0), this.ways | 0);
    const last = first + (this.ways | 0) - 1;
    const way = order[last]!;
    for (let to = last; to > first; to--) order[to] = order[to - 1]!;
    order[first] = way;
    const at = (first + way) << 2;
    entries[at] = page;
    entries[at + 1] = tag;
    entries[at + 2] = frame;
    entries[at + 3] = denials;
    this.used = true;
  }

  /** Forgets the entries of one page whose tag has these bits. */
  drop(index: number, page: number, mask: number, bits: number): void {
    const first = Math.imul(index & (this.setMask | 0), this.ways | 0);
    for (let place = first + this.ways - 1; place >= first; place--) {
      const at = (first + this.order[place]!) << 2;
      const tag = this.entries[at + 1]!;
      if (this.entries[at] === page && tag !== EMPTY && (tag & mask) === bits) this.remove(first, place);
    }
  }

  /** Forgets every entry whose tag has these bits; a mask of 0 forgets all. */
  flush(mask: number, bits: number): void {
    if (!this.used) return;
    const { entries, order, ways } = this;
    let left = false;
    for (let first = 0; first < order.length; first += ways) {
      for (let place = first + ways - 1; place >= first; place--) {
        const tag = entries[((first + order[place]!) << 2) + 1]!;
        if (tag === EMPTY) continue;
        if ((tag & mask) === bits) this.remove(first, place);
        else left = true;
      }
    }
    this.used = left;
  }

  private remove(first: number, place: number): void {
    const { entries, order } = this;
    const last = first + this.ways - 1;
    const way = order[place]!;
    for (let to = place; to < last; to++) order[to] = order[to + 1]!;
    order[last] = way;
    const at = (first + way) << 2;
    entries[at] = EMPTY;
    entries[at + 1] = EMPTY;
  }
}
