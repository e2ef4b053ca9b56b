/**
 * One translation cache: a TLB for one page size or two, or a paging-structure cache. True LRU in each set. Allocates nothing.
 *
 *   entry = 4 words at set * ways * 4 + way * 4       way 0 was used last; empty ways come last
 *     0  page    virtual page number 31..0, bits below the page size zero
 *     1  tag     31 | 29    | 28     | 27 .. 25 | 24 .. 13 | 12 .. 0              -1 is empty
 *                 0 | large | global | thread   | PCID     | page number 44..32
 *     2  frame   of the page or of the table below
 *     3  denials see walker.ts
 *
 * An address is looked up with two tags: that of its PCID, and the one a global entry would have. Threads of a core share
 * the entries' places, never the entries: a PCID means something only to the thread that loaded it.
 */
import type { TlbSpec } from "./spec.js";

/** What {@link Tlb.lookup} returns when no entry fits. */
export const MISS = -1;
export const TAG_LARGE = 1 << 29;
export const TAG_GLOBAL = 1 << 28;
export const TAG_THREAD = 7 << 25;
export const TAG_PCID = 0xfff << 13;
/** Page number 44..32 with the size of the page. */
export const TAG_PAGE = TAG_LARGE | 0x1fff;
const EMPTY = -1;

export class Tlb {
  readonly entries: Int32Array;
  /** Sets - 1; sets are a power of two. */
  readonly setMask: number;
  /** Words in a set. */
  readonly stride: number;

  constructor(shape: TlbSpec) {
    this.stride = shape.ways * 4;
    this.setMask = shape.entries / shape.ways - 1;
    this.entries = new Int32Array(shape.entries * 4).fill(EMPTY);
  }

  /** Uses an entry. @param index page number in units of this TLB's page size @returns position of the entry's first word, or {@link MISS} */
  lookup(index: number, page: number, tag: number, globalTag: number): number {
    const entries = this.entries;
    const first = Math.imul(index & this.setMask, this.stride);
    const end = first + this.stride;
    for (let at = first; at < end; at += 4) {
      if (entries[at] !== page) continue;
      const found = entries[at + 1];
      if (found !== tag && found !== globalTag) continue;
      if (at !== first) this.promote(first, at);
      return first;
    }
    return MISS;
  }

  /** Puts an entry in way 0, in place of the one for the same page and tag if there is one, else of the one unused longest. */
  fill(index: number, page: number, tag: number, frame: number, denials: number): void {
    const entries = this.entries;
    const first = Math.imul(index & this.setMask, this.stride);
    const last = first + this.stride - 4;
    let at = first;
    while (at < last && !(entries[at] === page && entries[at + 1] === tag)) at += 4;
    if (at !== first) this.promote(first, at);
    entries[first] = page;
    entries[first + 1] = tag;
    entries[first + 2] = frame;
    entries[first + 3] = denials;
  }

  /** Forgets the entries of one page whose tag has these bits. */
  drop(index: number, page: number, mask: number, bits: number): void {
    const first = Math.imul(index & this.setMask, this.stride);
    for (let at = first + this.stride - 4; at >= first; at -= 4) {
      const tag = this.entries[at + 1]!;
      if (this.entries[at] === page && tag !== EMPTY && (tag & mask) === bits) this.remove(first, at);
    }
  }

  /** Forgets every entry whose tag has these bits; a mask of 0 forgets all. */
  flush(mask: number, bits: number): void {
    for (let first = 0; first < this.entries.length; first += this.stride) {
      for (let at = first + this.stride - 4; at >= first; at -= 4) {
        const tag = this.entries[at + 1]!;
        if (tag !== EMPTY && (tag & mask) === bits) this.remove(first, at);
      }
    }
  }

  private promote(first: number, at: number): void {
    const entries = this.entries;
    const page = entries[at]!;
    const tag = entries[at + 1]!;
    const frame = entries[at + 2]!;
    const denials = entries[at + 3]!;
    for (let word = at + 3; word >= first + 4; word--) entries[word] = entries[word - 4]!;
    entries[first] = page;
    entries[first + 1] = tag;
    entries[first + 2] = frame;
    entries[first + 3] = denials;
  }

  private remove(first: number, at: number): void {
    const end = first + this.stride;
    this.entries.copyWithin(at, at + 4, end);
    this.entries.fill(EMPTY, end - 4, end);
  }
}
