/**
 * One set-associative cache of 64-byte lines: tags and a byte of state each, no data. True LRU. Allocates nothing.
 *
 *   set  = line in page (0..63) + 64 * group      group = low frame bits, or a hash of the frame where sets / 64 is no power of two
 *   slot = set * ways + way                        way 0 is the line used last, the last way the one to leave; empty ways come last
 *   tag  = frame as 32 signed bits, -1 is empty
 *
 * A line is (frame, line in page), so no 64-bit arithmetic is needed. Order of ways is order of use: a hit in way 0, the common
 * one, changes nothing, any other hit and every miss shift the ways before it once.
 */
import type { CacheSpec } from "./spec.js";

const EMPTY = -1;
/** Knuth's multiplicative hash, 2^32 divided by the golden ratio. */
const HASH = 0x9e37_79b1 | 0;

/** What {@link LineCache.find} and {@link LineCache.remove} return for a line that is not there. */
export const ABSENT = -1;

export class LineCache {
  readonly ways: number;
  readonly tags: Int32Array;
  /** Meaning is the owner's; 0 after a fill. */
  readonly state: Uint8Array;
  /** Low-bit mask of the group where groups are a power of two, else -1. */
  readonly groupMask: number;
  private readonly groups: number;
  /** Frame that the last {@link touch} that missed threw out, or -1; it had the same line in page. */
  victimFrame = EMPTY;
  victimState = 0;

  constructor(shape: Pick<CacheSpec, "bytes" | "ways">) {
    this.ways = shape.ways;
    this.groups = shape.bytes / (64 * 64 * shape.ways);
    this.groupMask = (this.groups & (this.groups - 1)) === 0 ? this.groups - 1 : -1;
    this.tags = new Int32Array(this.groups * 64 * shape.ways).fill(EMPTY);
    this.state = new Uint8Array(this.tags.length);
  }

  /** Slot of way 0 of the line's set. */
  setOf(frame: number, line: number): number {
    const mask = this.groupMask;
    const group = mask >= 0 ? frame & mask : Math.imul(Math.imul(frame, HASH) >>> 16, this.groups) >>> 16;
    return Math.imul((group << 6) | line, this.ways);
  }

  /** @returns the line's slot or {@link ABSENT}; order unchanged */
  find(frame: number, line: number): number {
    const tags = this.tags;
    const first = this.setOf(frame, line);
    const end = first + this.ways;
    for (let slot = first; slot < end; slot++) if (tags[slot] === frame) return slot;
    return ABSENT;
  }

  /**
   * Uses a line: afterwards it is in way 0 of its set, slot {@link setOf}.
   * @returns whether it was there; if not, its state is 0 and {@link victimFrame} and {@link victimState} tell what had to leave
   */
  touch(frame: number, line: number): boolean {
    const tags = this.tags;
    const first = this.setOf(frame, line);
    if (tags[first] === frame) return true;
    const end = first + this.ways;
    let slot = first + 1;
    while (slot < end && tags[slot] !== frame) slot++;
    const state = this.state;
    const hit = slot < end;
    let mine = 0;
    if (hit) mine = state[slot]!;
    else {
      slot = end - 1;
      this.victimFrame = tags[slot]!;
      this.victimState = state[slot]!;
    }
    for (; slot > first; slot--) {
      tags[slot] = tags[slot - 1]!;
      state[slot] = state[slot - 1]!;
    }
    tags[first] = frame;
    state[first] = mine;
    return hit;
  }

  /** Takes a line out; the ways behind it move up, so that empty ways stay last. @returns its state or {@link ABSENT} */
  remove(frame: number, line: number): number {
    let slot = this.find(frame, line);
    if (slot === ABSENT) return ABSENT;
    const { tags, state } = this;
    const was = state[slot]!;
    const last = this.setOf(frame, line) + this.ways - 1;
    for (; slot < last; slot++) {
      tags[slot] = tags[slot + 1]!;
      state[slot] = state[slot + 1]!;
    }
    tags[last] = EMPTY;
    state[last] = 0;
    return was;
  }

  /** Empties it. */
  clear(): void {
    this.tags.fill(EMPTY);
    this.state.fill(0);
  }
}
