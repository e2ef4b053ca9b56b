/**
 * One set-associative cache of 64-byte lines: tags, two state bits each, no data. True LRU. Allocates nothing.
 *
 *   set    = line in page (0..63) + 64 * group       group = low frame bits, or a hash of the frame where sets / 64 is no power of two
 *   base   = set * (ways + 2)                        a set's record in `words`:
 *     base          bit w: way w is modified
 *     base + 1      bit w: way w is shared, another core may have it
 *     base + 2 + w  tag of way w: the frame as 32 signed bits, -1 is empty
 *
 * A line is (frame, line in page), so no 64-bit arithmetic is needed. Way 0 is the line used last, empty ways come last. A hit
 * in way 0, the common one, changes nothing; any other use is one pass that shifts the tags it skips and at the same time
 * finds the line or throws the last one out. State bits of a set shift in one operation, and lie beside the tags so that
 * a large simulated cache costs one miss of the host's caches, not two.
 */
import type { CacheSpec } from "./spec.js";

const EMPTY = -1;
/** Knuth's multiplicative hash, 2^32 divided by the golden ratio. */
const HASH = 0x9e37_79b1 | 0;
const MODIFIED = 1;
const SHARED = 2;

/** What {@link LineCache.find} and {@link LineCache.remove} return for a line that is not there. */
export const ABSENT = -1;

export class LineCache {
  readonly ways: number;
  readonly words: Int32Array;
  /** Where each line was prefetched from, plus 1, at the index of its tag; 0 once it was used. Empty unless asked for. */
  readonly origins: Uint8Array;
  /** Low-bit mask of the group where groups are a power of two, else -1. */
  readonly groupMask: number;
  private readonly groups: number;
  /** The ways as bits. */
  private readonly full: number;
  /** Frame that the last {@link touch} that missed threw out, or -1; it had the same line in page. */
  victimFrame: number;
  /** 1 if that line was modified. */
  victimModified: number;

  /** @param origins keeps {@link origins} */
  constructor(shape: Pick<CacheSpec, "bytes" | "ways">, origins = false) {
    // | 0: a field that ever held a double is converted at every use on the hot path.
    this.ways = shape.ways | 0;
    this.groups = (shape.bytes / (64 * 64 * shape.ways)) | 0;
    this.groupMask = (this.groups & (this.groups - 1)) === 0 ? this.groups - 1 : -1;
    this.full = shape.ways === 32 ? -1 : (1 << shape.ways) - 1;
    this.words = new Int32Array(this.groups * 64 * (shape.ways + 2));
    this.origins = new Uint8Array(origins ? this.words.length : 0);
    this.victimFrame = EMPTY;
    this.victimModified = 0;
    this.clear();
  }

  /** Where the record of a line's set begins. */
  baseOf(frame: number, line: number): number {
    const mask = this.groupMask | 0;
    const group = mask >= 0 ? frame & mask : Math.imul(Math.imul(frame, HASH) >>> 16, this.groups | 0) >>> 16;
    return Math.imul((group << 6) | line, (this.ways | 0) + 2);
  }

  /** @param base of the frame's set @returns the line's way or {@link ABSENT}; order unchanged */
  find(base: number, frame: number): number {
    const words = this.words;
    const first = base + 2;
    const ways = this.ways | 0;
    for (let way = 0; way < ways; way++) if (words[first + way] === frame) return way;
    return ABSENT;
  }

  /**
   * Uses a line: afterwards it is in way 0 of its set.
   * @returns whether it was there; if not, its state is 0 and {@link victimFrame} and {@link victimModified} tell what had to leave
   */
  touch(base: number, frame: number): boolean {
    const words = this.words;
    let at = base + 2;
    let before = words[at]!;
    if (before === frame) return true;
    words[at] = frame;
    const end = at + (this.ways | 0);
    for (at++; at < end; at++) {
      const tag = words[at]!;
      words[at] = before;
      if (tag === frame) {
        this.hit(base, at - base - 2);
        return true;
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
    return false;
  }

  /** Takes a line out; the ways behind it move up, so that empty ways stay last. @returns {@link ABSENT}, or 1 if it was modified, else 0 */
  remove(base: number, frame: number): number {
    const way = this.find(base, frame);
    if (way === ABSENT) return ABSENT;
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
    return (modified >>> way) & 1;
  }

  /** State bits of one way: 1 modified, 2 shared. */
  stateOf(base: number, way: number): number {
    return ((this.words[base]! >>> way) & 1) | (((this.words[base + 1]! >>> way) & 1) << 1);
  }

  /** @param bits 1 modified, 2 shared */
  setState(base: number, way: number, bits: number): void {
    const words = this.words;
    const bit = 1 << way;
    words[base] = (bits & MODIFIED) === 0 ? words[base]! & ~bit : words[base]! | bit;
    words[base + 1] = (bits & SHARED) === 0 ? words[base + 1]! & ~bit : words[base + 1]! | bit;
  }

  /** Empties it. */
  clear(): void {
    this.words.fill(EMPTY);
    for (let base = 0; base < this.words.length; base += this.ways + 2) this.words[base] = this.words[base + 1] = 0;
    this.origins.fill(0);
  }

  /** Bytes of host memory. */
  get hostBytes(): number {
    return this.words.byteLength + this.origins.byteLength;
  }

  /** State follows a line from its way to way 0. */
  private hit(base: number, way: number): void {
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
