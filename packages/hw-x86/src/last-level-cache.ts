/**
 * Tags of a last-level cache: which lines each set holds, in order of use, and which of them are modified. True LRU.
 * Allocates nothing, but once, when the frames it meets need more than short tags.
 *
 *   frame = number * groups + place    group = place where groups are a power of two, else (place + a hash of the number) modulo groups
 *   set   = line in page (0..63) + 64 * group
 *   tags[set * ways + n]               the line used n-th last: its tag, and in the top bit whether it is modified
 *
 * What a large simulated cache costs is the host's misses on its tags. So a tag is only what the set does not say of
 * the frame, its number, and has 15 bits: numbers below 2^14 as they are, above that in blocks of 256, the n-th met as
 * 64 + n (0 to 62):
 *
 *   14 .. 8 | 7 .. 0                   0 .. 63: the number's own bits; 64 .. 126: a block; 127, 255: an empty way, which come last
 *
 * Who uses more blocks than that, tens of GiB of far addresses, gets tags of 31 bits for the rest of the machine's
 * life.
 */
import { Pattern } from "./bit-patterns.js";
import { ABSENT } from "./cache.js";
import type { SharedCache } from "./parts.js";
import type { CacheSpec } from "./spec.js";
import { moved } from "./moved.js";

/** Words of a set, and what tags there can be. */
export const enum Bits {
  ShortEmpty = 0x7fff,
  LongEmpty = 0x7fff_ffff,
  /** Numbers below it are their own short tags. */
  Plain = 0x4000,
  Blocks = 63,
  /** Blocks that can be told from each other: with 256 groups or more, all. */
  BlockNumbers = 0x1_0000,
}

export class LastLevelCache implements SharedCache {
  /** Frame that the last {@link touch} that missed threw out, or -1; it had the same line in page. */
  victimFrame: number;
  /** 1 if that line was modified. */
  victimModified: number;
  private tags: Uint16Array | Int32Array;
  /** Tag of an empty way, and the bits of a tag. */
  private empty: number;
  readonly ways: number;
  readonly groups: number;
  /** log2(groups), or -1. */
  readonly groupBits: number;
  /** Tag of the frame that {@link setOf} was asked for last. */
  private tag: number;
  /** By block of numbers: 1 + its index in {@link blocks}, 0 if it was never met. Empty until one is. */
  private blockIndex: Uint8Array;
  private readonly blocks: number[];
  /** Place of the last way of the set that {@link find} searched. */
  private last: number;

  /** @param shape 1 to 32 ways; a cache of only 64 sets tells frames below 2^31 apart, 8 TiB, any other all */
  constructor(shape: Pick<CacheSpec, "bytes" | "ways">) {
    this.victimFrame = -1;
    this.victimModified = 0;
    this.tag = 0;
    this.last = 0;
    this.blockIndex = new Uint8Array(0);
    this.blocks = [];
    this.ways = shape.ways | 0;
    this.groups = (shape.bytes / (64 * 64 * shape.ways)) | 0;
    this.groupBits = ((this.groups & (this.groups - 1)) === 0 ? 31 - Math.clz32(this.groups) : -1) | 0;
    this.tags = new Uint16Array(this.groups * 64 * this.ways).fill(Bits.ShortEmpty);
    this.empty = Bits.ShortEmpty;
  }

  /**
   * Uses a line, bringing it in.
   * @returns whether it was there; if not, it is clean and {@link victimFrame} and {@link victimModified} tell what had
   *   to leave
   */
  touch(frame: number, line: number): boolean {
    const set = this.setOf(frame, line) | 0;
    const first = Math.imul(set, this.ways | 0);
    const tag = this.tag | 0;
    const mask = this.empty | 0;
    const tags = this.tags;
    let before = tags[first]! | 0;
    if ((before & mask) === tag) return true;
    tags[first] = tag;
    const end = (first + (this.ways | 0)) | 0;
    let at = (first + 1) | 0;
    // Two at a time: the loop itself costs as much as a comparison.
    for (; at + 1 < end; at = (at + 2) | 0) {
      const here = tags[at]! | 0;
      tags[at] = before;
      if ((here & mask) === tag) {
        tags[first] = here;
        return true;
      }
      before = tags[at + 1]! | 0;
      tags[at + 1] = here;
      if ((before & mask) === tag) {
        tags[first] = before;
        return true;
      }
    }
    if (at < end) {
      const here = tags[at]! | 0;
      tags[at] = before;
      if ((here & mask) === tag) {
        tags[first] = here;
        return true;
      }
      before = here;
    }
    const victim = before & mask;
    this.victimFrame = victim === mask ? -1 : this.frameOf(set, victim);
    this.victimModified = victim === before ? 0 : 1;
    return false;
  }

  /** @returns whether the line is there; order unchanged */
  holds(frame: number, line: number): boolean {
    return this.find(frame, line) !== ABSENT;
  }

  /** Marks a line as modified, order unchanged. @returns whether it is there */
  modify(frame: number, line: number): boolean {
    const at = this.find(frame, line);
    if (at === ABSENT) return false;
    this.tags[at] = this.tags[at]! | (this.empty + 1);
    return true;
  }

  /**
   * A line that was modified is clean afterwards; order unchanged.
   * @returns {@link ABSENT}, or 1 if it was modified, else 0
   */
  clean(frame: number, line: number): number {
    const at = this.find(frame, line);
    if (at === ABSENT) return ABSENT;
    const was = this.tags[at]!;
    this.tags[at] = was & this.empty;
    return was === (was & this.empty) ? 0 : 1;
  }

  /** Takes a line out. @returns {@link ABSENT}, or 1 if it was modified, else 0 */
  remove(frame: number, line: number): number {
    const found = this.find(frame, line) | 0;
    if (found === ABSENT) return ABSENT;
    const tags = this.tags;
    const was = tags[found]! | 0;
    const last = this.last | 0;
    for (let at = found; at < last; at = (at + 1) | 0) tags[at] = tags[at + 1]!;
    tags[last] = this.empty;
    return was === (was & this.empty) ? 0 : 1;
  }

  /** Bytes of its tags while they are short, 0 from then on. */
  get shortBytes(): number {
    return this.empty === Bits.ShortEmpty ? this.tags.byteLength : 0;
  }

  /** Goes on in another buffer; only while its tags are short. */
  moveTo(buffer: ArrayBuffer, at: number): void {
    this.tags = moved(this.tags as Uint16Array, new Uint16Array(buffer, at, this.tags.length));
  }

  /** Whether its tags lie there, which longer ones no longer do. */
  isIn(buffer: ArrayBuffer): boolean {
    return this.tags.buffer === buffer;
  }

  /** Empties it. */
  clear(): void {
    this.tags.fill(this.empty);
  }

  /** Bytes of host memory. */
  get hostBytes(): number {
    return this.tags.byteLength + this.blockIndex.byteLength;
  }

  /** @returns the set of a line; then {@link tag} is its frame's */
  private setOf(frame: number, line: number): number {
    const bits = this.groupBits | 0;
    let tag: number;
    let group: number;
    if (bits >= 0) {
      tag = frame >>> bits;
      group = frame & ((this.groups | 0) - 1);
    } else {
      const groups = this.groups | 0;
      tag = ((frame >>> 0) / groups) | 0;
      group = (((frame - Math.imul(tag, groups)) | 0) + this.spread(tag)) | 0;
      if (group >= groups) group = (group - groups) | 0;
    }
    if (tag >= Bits.Plain && this.empty === Bits.ShortEmpty) tag = this.shortened(tag);
    this.tag = tag | 0;
    return (group << 6) | line;
  }

  private frameOf(set: number, stored: number): number {
    const tag = stored >= Bits.Plain && this.empty === Bits.ShortEmpty ? this.numberOf(stored) : stored;
    const bits = this.groupBits | 0;
    const group = set >>> 6;
    if (bits >= 0) return (tag << bits) | group;
    const groups = this.groups | 0;
    let place = (group - this.spread(tag)) | 0;
    if (place < 0) place = (place + groups) | 0;
    return (Math.imul(tag, groups) + place) | 0;
  }

  /** 0 to groups - 1, by the tag: frames a whole number of groups apart do not all meet in one. */
  private spread(tag: number): number {
    return Math.imul(Math.imul(tag, Pattern.Hash) >>> 16, this.groups | 0) >>> 16;
  }

  /** @returns place of a line's tag, or {@link ABSENT} */
  private find(frame: number, line: number): number {
    const first = Math.imul(this.setOf(frame, line), this.ways | 0);
    const tag = this.tag | 0;
    const mask = this.empty | 0;
    const tags = this.tags;
    const end = (first + (this.ways | 0)) | 0;
    this.last = (end - 1) | 0;
    for (let at = first; at < end; at = (at + 1) | 0) if ((tags[at]! & mask) === tag) return at;
    return ABSENT;
  }

  /** Short tag of a number that is not its own; after {@link widen} the number. */
  private shortened(number: number): number {
    const block = number >>> 8;
    if (this.blockIndex.length === 0) this.blockIndex = new Uint8Array(Bits.BlockNumbers);
    let index = block < Bits.BlockNumbers ? this.blockIndex[block]! : 0;
    if (index === 0) {
      if (block >= Bits.BlockNumbers || this.blocks.length === Bits.Blocks) {
        this.widen();
        return number;
      }
      index = this.blocks.push(block);
      this.blockIndex[block] = index;
    }
    return ((Bits.Blocks + index) << 8) | (number & 255);
  }

  /** What {@link shortened} made a short tag of. */
  private numberOf(tag: number): number {
    return (this.blocks[(tag >>> 8) - Bits.Blocks - 1]! << 8) | (tag & 255);
  }

  /** From here on every tag is the number. */
  private widen(): void {
    this.tags = Int32Array.from(this.tags, (stored) => {
      const tag = stored & Bits.ShortEmpty;
      if (tag === Bits.ShortEmpty) return Bits.LongEmpty;
      return (tag >= Bits.Plain ? this.numberOf(tag) : tag) | (tag === stored ? 0 : Bits.LongEmpty + 1);
    });
    this.empty = Bits.LongEmpty;
  }
}
