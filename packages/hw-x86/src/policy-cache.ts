/**
 * A set-associative cache whose victims a replacement policy names, where ours (cache.ts, last-level-cache.ts) is true
 * LRU. A line stays in its way. Every use is told to the policy, so nothing of an access is done without a call: slower
 * than ours. Allocates nothing.
 *
 *   base               bit w: way w is modified          base + 2 + w      tag of way w
 *   base + 1           bit w: way w is shared            base + 2 + ways   never a tag: where hints point
 */
import { Pattern } from "./bit-patterns.js";
import { ABSENT } from "./cache.js";
import type { CoreCache, SharedCache } from "./parts.js";
import { usedAfterFill, type Victims, victimsOf } from "./replacement.js";
import type { CacheSpec, Replacement } from "./spec.js";

const EMPTY = -1;
const FIRST = 2;
const HINTS = 4096;

/** L1 or L2 by a replacement policy. */
export class PolicyCache implements CoreCache {
  readonly ways: number;
  readonly words: Int32Array;
  readonly first = FIRST;
  readonly stride: number;
  readonly origins: Uint8Array;
  readonly hints: Uint8Array;
  readonly groupMask: number;
  readonly narrow = 0;
  readonly usedAfterFill: 0 | 1;
  readonly orderMask = 0;
  readonly oldestShift = 0;
  way = 0;
  victimFrame = EMPTY;
  victimModified = 0;
  private readonly groups: number;
  private readonly victims: Victims;

  /** @param origins keeps {@link origins} @param hints keeps {@link hints} */
  constructor(shape: Pick<CacheSpec, "bytes" | "ways">, replacement: Replacement, origins = false, hints = false) {
    this.ways = shape.ways | 0;
    this.stride = this.ways + FIRST + 1;
    this.groups = (shape.bytes / (64 * 64 * this.ways)) | 0;
    this.groupMask = (this.groups & (this.groups - 1)) === 0 ? this.groups - 1 : -1;
    this.words = new Int32Array(this.groups * 64 * this.stride);
    this.origins = new Uint8Array(origins ? this.words.length : 0);
    this.hints = new Uint8Array(hints ? HINTS : 0).fill(this.ways);
    this.victims = victimsOf(replacement, this.groups * 64, this.ways);
    this.usedAfterFill = usedAfterFill(replacement);
    this.clear();
  }

  get lines(): number {
    return this.groups * 64 * this.ways;
  }
  get hostBytes(): number {
    return this.words.byteLength + this.origins.byteLength + this.hints.byteLength + this.victims.hostBytes;
  }

  baseOf(frame: number, line: number): number {
    const mask = this.groupMask;
    const group =
      mask >= 0 ? frame & mask : Math.imul(Math.imul(frame | 0, Pattern.Hash) >>> 16, this.groups | 0) >>> 16;
    return Math.imul((group << 6) | line, this.stride);
  }

  mayHold(): boolean {
    return true;
  }

  find(base: number, frame: number): number {
    const { words, ways } = this;
    for (let way = 0; way < ways; way++) if (words[base + FIRST + way] === frame) return way;
    return ABSENT;
  }

  touch(base: number, frame: number): number {
    const set = (base / this.stride) | 0;
    const found = this.find(base, frame);
    if (found !== ABSENT) {
      this.way = found;
      this.victims.used(set, found);
      return 1;
    }
    const { words } = this;
    const empty = this.find(base, EMPTY);
    const way = empty !== ABSENT ? empty : this.victims.victim(set);
    const at = base + FIRST + way;
    this.way = way;
    this.victimFrame = words[at]!;
    this.victimModified = (words[base]! >>> way) & 1;
    words[at] = frame;
    this.setState(base, way, 0);
    if (this.origins.length !== 0) this.origins[at] = 0;
    this.victims.filled(set, way);
    return 0;
  }

  remove(base: number, frame: number): number {
    const way = this.find(base, frame);
    if (way === ABSENT) return ABSENT;
    const modified = (this.words[base]! >>> way) & 1;
    this.words[base + FIRST + way] = EMPTY;
    this.setState(base, way, 0);
    if (this.origins.length !== 0) this.origins[base + FIRST + way] = 0;
    return modified;
  }

  stateOf(base: number, way: number): number {
    return ((this.words[base]! >>> way) & 1) | (((this.words[base + 1]! >>> way) & 1) << 1);
  }

  setState(base: number, way: number, bits: number): void {
    const { words } = this;
    const bit = 1 << way;
    words[base] = (bits & 1) === 0 ? words[base]! & ~bit : words[base]! | bit;
    words[base + 1] = (bits & 2) === 0 ? words[base + 1]! & ~bit : words[base + 1]! | bit;
  }

  clear(): void {
    const { words } = this;
    words.fill(EMPTY);
    for (let base = 0; base < words.length; base += this.stride) words[base] = words[base + 1] = 0;
    this.origins.fill(0);
    this.victims.clear();
  }

  forEachLine(visit: (frame: number, line: number) => void): void {
    for (let set = 0, base = 0; base < this.words.length; set++, base += this.stride) {
      for (let way = 0; way < this.ways; way++) {
        const frame = this.words[base + FIRST + way]!;
        if (frame !== EMPTY) visit(frame, set & 63);
      }
    }
  }
}

/** An L3 by a replacement policy. */
export class PolicySharedCache implements SharedCache {
  private readonly lines: PolicyCache;
  constructor(shape: Pick<CacheSpec, "bytes" | "ways">, replacement: Replacement) {
    this.lines = new PolicyCache(shape, replacement);
  }
  get victimFrame(): number {
    return this.lines.victimFrame;
  }
  get victimModified(): number {
    return this.lines.victimModified;
  }
  get hostBytes(): number {
    return this.lines.hostBytes;
  }
  touch(frame: number, line: number): boolean {
    return this.lines.touch(this.lines.baseOf(frame, line), frame | 0) !== 0;
  }
  holds(frame: number, line: number): boolean {
    return this.lines.find(this.lines.baseOf(frame, line), frame | 0) !== ABSENT;
  }
  modify(frame: number, line: number): boolean {
    return this.setModified(frame, line, 1) !== ABSENT;
  }
  clean(frame: number, line: number): number {
    return this.setModified(frame, line, 0);
  }
  remove(frame: number, line: number): number {
    return this.lines.remove(this.lines.baseOf(frame, line), frame | 0);
  }
  clear(): void {
    this.lines.clear();
  }

  /** @returns the state before, or {@link ABSENT} */
  private setModified(frame: number, line: number, bit: number): number {
    const base = this.lines.baseOf(frame, line);
    const way = this.lines.find(base, frame | 0);
    if (way === ABSENT) return ABSENT;
    const before = this.lines.stateOf(base, way);
    this.lines.setState(base, way, bit);
    return before;
  }
}
