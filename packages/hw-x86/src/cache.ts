/**
 * One set-associative cache of 64-byte lines: tags, two state bits each, no data. True LRU. Allocates nothing.
 *
 *   set    = line in page (0..63) + 64 * group       group = low frame bits, or a hash of the frame where sets / 64 is no power of two
 *   base   = set * stride                            a set's record in `words`:
 *     base              bit w: way w is modified
 *     base + 1          bit w: way w is shared, another core may have it
 *     base + 2          up to 8 ways only: order of use, nibble n is the way of the n-th last use, unused nibbles 15
 *     base + 3, + 4     up to 8 ways only: marks, byte b of word k has eight bits of a hash of the frame in way 4k + b
 *     base + first + w  tag of way w: the frame as 32 signed bits, -1 is empty
 *
 * A line is (frame, line in page), so no 64-bit arithmetic is needed. State lies beside the tags, so that a large
 * simulated cache costs one miss of the host's caches, not two.
 *
 * Up to 8 ways a line stays in its way, and using it is a few operations on the order word, without a loop; looking for
 * it compares four marks in one operation and then, rarely more than once, a tag. With more ways
 * the ways themselves are in order, way 0 used last: one pass shifts the tags it skips and at the same time finds the
 * line or throws the last one out; state bits shift in one operation. Either way empty ways come last.
 */
import { moved } from "./moved.js";
import { Pattern } from "./bit-patterns.js";
import type { CoreCache } from "./parts.js";
import type { CacheSpec } from "./spec.js";
import { Line } from "./literals.js";

const EMPTY = -1;
/** Words before the tags, up to 8 ways. */
const NARROW_FIRST = 5;

/** What {@link LineCache.find} and {@link LineCache.remove} return for a line that is not there. */
export const ABSENT = -1;

const HINTS = 4096;
/** Place of a line's hint. */
export const hintAt = (base: number, frame: number): number => (base + Math.imul(frame | 0, 773)) & (HINTS - 1);

/**
 * Makes `way` the one used last in an order word that has it. Source: Knuth, TAOCP 4A, 7.1.3, on finding a zero byte.
 */
export const promoted = (order: number, way: number): number => {
  // The lowest nibble that equals `way` becomes 0 under exclusive or, and its top bit the lowest of `zero`.
  const other = order ^ Math.imul(way | 0, Pattern.Nibbles);
  const zero = (other - Pattern.Nibbles) & ~other & Pattern.NibbleTops;
  const upTo = ((zero & -zero) << 1) - 1;
  return (order & ~upTo) | ((order << 4) & upTo) | way;
};

/** One set-associative cache of 64-byte lines: tags and two state bits each, no data. True LRU; allocates nothing. */
export class LineCache implements CoreCache {
  readonly ways: number;
  words: Int32Array;
  /** Words of a set's record before its tags: 5 up to 8 ways, else 2. */
  readonly first: number;
  /** Words of a set's record. */
  readonly stride: number;
  /**
   * Where each line was prefetched from, plus 1, at the index of its tag; 0 once it was used. Empty unless asked for.
   */
  origins: Uint8Array;
  /**
   * If asked for: the way a line was in last, by {@link hintAt}. May be wrong; saves the search. All 0 with more than 8
   * ways.
   */
  readonly hints: Uint8Array;
  /** Low-bit mask of the group where groups are a power of two, else -1. */
  readonly groupMask: number;
  /** Way in which {@link touch} left the line. */
  way: number;
  /** Frame that the last {@link touch} that missed threw out, or -1; it had the same line in page. */
  victimFrame: number;
  /** 1 if that line was modified. */
  victimModified: number;
  private readonly groups: number;
  /** The ways as bits. */
  private readonly full: number;
  /** 1: up to 8 ways. */
  readonly narrow: number;
  /** Nibbles of the order word that hold ways. */
  readonly orderMask: number;
  /** Place of the nibble of the way unused longest. */
  readonly oldestShift: number;

  /** @param origins keeps {@link origins} @param hints keeps {@link hints} */
  constructor(shape: Pick<CacheSpec, "bytes" | "ways">, origins = false, hints = false) {
    // | 0: a field that ever held a double is converted at every use on the hot path.
    const ways = shape.ways | 0;
    this.ways = ways;
    this.narrow = ways <= 8 ? 1 : 0;
    this.first = this.narrow !== 0 ? NARROW_FIRST : 2;
    this.stride = (this.narrow !== 0 ? 8 : ways) + this.first; // marks are for eight ways, so are tags
    this.orderMask = ways >= 8 ? -1 : (1 << (4 * ways)) - 1;
    this.oldestShift = 4 * (ways - 1);
    this.groups = (shape.bytes / (64 * 64 * ways)) | 0;
    this.groupMask = (this.groups & (this.groups - 1)) === 0 ? this.groups - 1 : -1;
    this.full = ways === 32 ? -1 : (1 << ways) - 1;
    this.words = new Int32Array(this.groups * 64 * this.stride);
    this.origins = new Uint8Array(origins ? this.words.length : 0);
    this.hints = new Uint8Array(hints ? HINTS : 0);
    this.way = 0;
    this.victimFrame = EMPTY;
    this.victimModified = 0;
    this.clear();
  }

  /** Where the record of a line's set begins. */
  baseOf(frame: number, line: number): number {
    const mask = this.groupMask | 0;
    const group =
      mask >= 0 ? frame & mask : Math.imul(Math.imul(frame | 0, Pattern.Hash) >>> 16, this.groups | 0) >>> 16;
    return Math.imul((group << 6) | line, this.stride | 0);
  }

  /**
   * Quicker than {@link find}, for lines that hardly are there: no is certain.
   * @param marks the frame's mark in all four bytes
   */
  mayHold(base: number, marks: number): boolean {
    if (this.narrow === 0) return true;
    const words = this.words;
    const low = words[base + 3]! ^ marks;
    const high = words[base + 4]! ^ marks;
    return ((((low - Pattern.Bytes) & ~low) | ((high - Pattern.Bytes) & ~high)) & Pattern.ByteTops) !== 0;
  }

  /** @param base of the frame's set @returns the line's way or {@link ABSENT}; order unchanged */
  find(base: number, frame: number): number {
    const words = this.words;
    if (this.narrow !== 0) {
      const mark = Math.imul(Math.imul(frame | 0, Pattern.Hash) >>> 24, Pattern.Bytes);
      const low = words[base + 3]! ^ mark;
      const high = words[base + 4]! ^ mark;
      // Bit 8b + k: way 4k + b has this mark. (Where one has it, the next may be taken to have it: its tag says no.)
      let fits =
        (((low - Pattern.Bytes) & ~low & Pattern.ByteTops) >>> 7) |
        (((high - Pattern.Bytes) & ~high & Pattern.ByteTops) >>> 6);
      while (fits !== 0) {
        const bit = 31 - Math.clz32(fits & -fits);
        const way = (bit >> 3) | ((bit & 1) << 2);
        if (words[base + NARROW_FIRST + way] === frame) return way;
        fits &= fits - 1;
      }
      return ABSENT;
    }
    const first = base + (this.first | 0);
    const end = first + (this.ways | 0);
    let at = first;
    // Four at a time: the loop itself costs as much as a comparison.
    for (; at + 3 < end; at += 4) {
      if (words[at] === frame) return at - first;
      if (words[at + 1] === frame) return at + 1 - first;
      if (words[at + 2] === frame) return at + 2 - first;
      if (words[at + 3] === frame) return at + 3 - first;
    }
    for (; at < end; at++) if (words[at] === frame) return at - first;
    return ABSENT;
  }

  /**
   * Uses a line: afterwards it is in way {@link way} of its set.
   * @returns 1 if it was there; if not, 0, its state is 0 and {@link victimFrame} and {@link victimModified} tell what
   *   had to leave
   */
  touch(base: number, frame: number): number {
    return this.narrow !== 0 ? this.touchNarrow(base, frame) : this.touchWide(base, frame);
  }

  /**
   * Takes a line out; its way becomes the first to be filled.
   * @returns {@link ABSENT}, or 1 if it was modified, else 0
   */
  remove(base: number, frame: number): number {
    const way = this.find(base, frame);
    if (way === ABSENT) return ABSENT;
    const { words } = this;
    const modified = (words[base]! >>> way) & 1;
    if (this.narrow !== 0) {
      words[base + NARROW_FIRST + way] = EMPTY;
      words[base] = words[base]! & ~(1 << way);
      words[base + 1] = words[base + 1]! & ~(1 << way);
      if (this.origins.length !== 0) this.origins[base + NARROW_FIRST + way] = 0;
      // Out of the lowest nibble, into the highest.
      const mask = this.orderMask;
      const order = promoted(words[base + 2]!, way) & mask;
      words[base + 2] = ((order >>> 4) & (mask >>> 4)) | (way << this.oldestShift) | ~mask;
    } else this.removeWide(base, way);
    return modified;
  }

  /** State bits of one way: 1 modified, 2 shared. */
  stateOf(base: number, way: number): number {
    return ((this.words[base]! >>> way) & 1) | (((this.words[base + 1]! >>> way) & 1) << 1);
  }

  /** @param bits 1 modified, 2 shared */
  setState(base: number, way: number, bits: number): void {
    const words = this.words;
    const bit = 1 << way;
    words[base] = (bits & Line.Modified) === 0 ? words[base]! & ~bit : words[base]! | bit;
    words[base + 1] = (bits & Line.Shared) === 0 ? words[base + 1]! & ~bit : words[base + 1]! | bit;
  }

  /** Goes on in another buffer, from these bytes on; the origins only if it keeps them. */
  moveTo(buffer: ArrayBuffer, wordsAt: number, originsAt: number): void {
    this.words = moved(this.words, new Int32Array(buffer, wordsAt, this.words.length));
    if (this.origins.length !== 0)
      this.origins = moved(this.origins, new Uint8Array(buffer, originsAt, this.origins.length));
  }

  /** Empties it. */
  clear(): void {
    const { words } = this;
    words.fill(EMPTY);
    for (let base = 0; base < words.length; base += this.stride) {
      words[base] = words[base + 1] = 0;
      if (this.narrow !== 0) words[base + 2] = (0x7654_3210 & this.orderMask) | ~this.orderMask;
    }
    this.origins.fill(0);
  }

  /** Lines it can hold. */
  get lines(): number {
    return this.groups * 64 * this.ways;
  }

  /** Visits every line it holds, in no particular order. */
  forEachLine(visit: (frame: number, line: number) => void): void {
    const { words, stride, first } = this;
    for (let set = 0, base = 0; base < words.length; set++, base += stride) {
      for (let way = 0; way < this.ways; way++) {
        const frame = words[base + first + way]!;
        if (frame !== EMPTY) visit(frame, set & 63);
      }
    }
  }

  /** Bytes of host memory. */
  get hostBytes(): number {
    return this.words.byteLength + this.origins.byteLength + this.hints.byteLength;
  }

  private touchNarrow(base: number, frame: number): number {
    const words = this.words;
    const first = base + NARROW_FIRST;
    const order = words[base + 2]!;
    const found = this.find(base, frame);
    if (found !== ABSENT) {
      words[base + 2] = promoted(order, found);
      this.way = found;
      if (this.hints.length !== 0) this.hints[hintAt(base, frame)] = found;
      return 1;
    }
    const mask = this.orderMask | 0;
    const way = (order >>> (this.oldestShift | 0)) & 15;
    words[base + 2] = (((order << 4) | way) & mask) | ~mask;
    const modified = words[base]!;
    const shared = words[base + 1]!;
    this.way = way;
    if (this.hints.length !== 0) this.hints[hintAt(base, frame)] = way;
    const markAt = base + 3 + (way >> 2);
    const shift = (way & 3) << 3;
    words[markAt] = (words[markAt]! & ~(255 << shift)) | ((Math.imul(frame | 0, Pattern.Hash) >>> 24) << shift);
    this.victimFrame = words[first + way]!;
    this.victimModified = (modified >>> way) & 1;
    words[first + way] = frame;
    words[base] = modified & ~(1 << way);
    if (shared !== 0) words[base + 1] = shared & ~(1 << way);
    if (this.origins.length !== 0) this.origins[first + way] = 0;
    return 0;
  }

  private touchWide(base: number, frame: number): number {
    const words = this.words;
    let at = base + 2;
    let before = words[at]!;
    if (before === frame) return 1;
    words[at] = frame;
    const end = at + (this.ways | 0);
    for (at++; at + 1 < end; at += 2) {
      const tag = words[at]!;
      words[at] = before;
      if (tag === frame) {
        this.hitWide(base, at - base - 2);
        return 1;
      }
      before = words[at + 1]!;
      words[at + 1] = tag;
      if (before === frame) {
        this.hitWide(base, at - base - 1);
        return 1;
      }
    }
    if (at < end) {
      const tag = words[at]!;
      words[at] = before;
      if (tag === frame) {
        this.hitWide(base, at - base - 2);
        return 1;
      }
      before = tag;
    }
    const modified = words[base]!;
    const full = this.full | 0;
    this.victimFrame = before;
    this.victimModified = (modified >>> (end - base - 3)) & 1;
    if (modified !== 0) words[base] = (modified << 1) & full;
    const shared = words[base + 1]!;
    if (shared !== 0) words[base + 1] = (shared << 1) & full;
    if (this.origins.length !== 0) this.shiftOrigins(base + 2, end - 1, 0);
    return 0;
  }

  private removeWide(base: number, way: number): void {
    const { words, origins } = this;
    const last = base + 1 + this.ways;
    for (let at = base + 2 + way; at < last; at++) words[at] = words[at + 1]!;
    words[last] = EMPTY;
    if (origins.length !== 0) {
      origins.copyWithin(base + 2 + way, base + 3 + way, last + 1);
      origins[last] = 0;
    }
    const kept = (1 << way) - 1;
    const modified = words[base]!;
    const shared = words[base + 1]!;
    words[base] = (modified & kept) | ((modified >>> 1) & ~kept);
    words[base + 1] = (shared & kept) | ((shared >>> 1) & ~kept);
  }

  /** State follows a line from its way to way 0. */
  private hitWide(base: number, way: number): void {
    const words = this.words;
    const modified = words[base]!;
    const shared = words[base + 1]!;
    // Ways 0 to `way`; -2 << 31 is 0, so way 31 is right as well.
    const moved = ~(-2 << way);
    if (modified !== 0) words[base] = (modified & ~moved) | ((modified << 1) & moved) | ((modified >>> way) & 1);
    if (shared !== 0) words[base + 1] = (shared & ~moved) | ((shared << 1) & moved) | ((shared >>> way) & 1);
    if (this.origins.length !== 0) this.shiftOrigins(base + 2, base + 2 + way, this.origins[base + 2 + way]!);
  }

  private shiftOrigins(first: number, last: number, mine: number): void {
    this.origins.copyWithin(first + 1, first, last);
    this.origins[first] = mine;
  }
}
