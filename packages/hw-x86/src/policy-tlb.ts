/**
 * A TLB whose victims a replacement policy names, where ours (tlb.ts) is true LRU. An entry stays in its way. Allocates
 * nothing.
 */
import type { TranslationBuffer } from "./parts.js";
import { usedAfterFill, type Victims, victimsOf } from "./replacement.js";
import type { Replacement, TlbSpec } from "./spec.js";
import { MISS, regionAt, REGIONS } from "./tlb.js";

const EMPTY = -1;

/** One translation look-aside buffer by a replacement policy. */
export class PolicyTlb implements TranslationBuffer {
  readonly entries: Int32Array;
  /**
   * The way used last, by set: every policy here is as it was when that one is used again. The first way of the next
   * set, which never has a page of this one, after a fill that the next use is to be told of.
   */
  readonly order: Int32Array;
  readonly lastMask = 255;
  readonly ways: number;
  readonly setMask: number;
  readonly regions: Uint16Array;
  used = 0;
  readonly usedAfterFill: 0 | 1;
  private counting = 0;
  private readonly victims: Victims;

  /** @param regions keeps {@link regions} */
  constructor(shape: TlbSpec, replacement: Replacement, regions = false) {
    this.ways = shape.ways | 0;
    this.setMask = (shape.entries / shape.ways - 1) | 0;
    this.entries = new Int32Array(shape.entries * 4).fill(EMPTY);
    this.order = new Int32Array(this.setMask + 1);
    this.regions = new Uint16Array(regions ? REGIONS : 0);
    this.victims = victimsOf(replacement, this.setMask + 1, this.ways);
    this.usedAfterFill = usedAfterFill(replacement);
  }

  get hostBytes(): number {
    return this.entries.byteLength + this.order.byteLength + this.regions.byteLength + this.victims.hostBytes;
  }

  lookup(index: number, page: number, tag: number, globalTag: number): number {
    const set = index & this.setMask;
    for (let way = 0, at = set * this.ways * 4; way < this.ways; way++, at += 4) {
      const found = this.entries[at + 1]!;
      if (this.entries[at] !== page || (found !== tag && found !== globalTag)) continue;
      this.order[set] = way;
      this.victims.used(set, way);
      return at;
    }
    return MISS;
  }

  insert(index: number, page: number, tag: number, frame: number, denials: number): void {
    const set = index & this.setMask;
    const first = set * this.ways * 4;
    let way = 0;
    while (way < this.ways && this.entries[first + way * 4 + 1] !== EMPTY) way++;
    if (way === this.ways) way = this.victims.victim(set);
    const at = first + way * 4;
    if (this.counting !== 0) {
      if (this.entries[at + 1] !== EMPTY) this.count(this.entries[at]!, -1);
      this.count(page, 1);
    }
    this.entries[at] = page;
    this.entries[at + 1] = tag;
    this.entries[at + 2] = frame;
    this.entries[at + 3] = denials;
    this.order[set] = this.usedAfterFill !== 0 ? this.ways : way;
    this.used = 1;
    this.victims.filled(set, way);
  }

  drop(index: number, page: number, mask: number, bits: number): void {
    const first = (index & this.setMask) * this.ways * 4;
    for (let at = first; at < first + this.ways * 4; at += 4) {
      const tag = this.entries[at + 1]!;
      if (this.entries[at] === page && tag !== EMPTY && (tag & mask) === bits) this.remove(at);
    }
  }

  flush(mask: number, bits: number): void {
    if (this.used === 0) return;
    let left = 0;
    for (let at = 0; at < this.entries.length; at += 4) {
      const tag = this.entries[at + 1]!;
      if (tag === EMPTY) continue;
      if ((tag & mask) === bits) this.remove(at);
      else left = 1;
    }
    this.used = left;
  }

  countRegions(): void {
    if (this.counting !== 0 || this.regions.length === 0) return;
    this.counting = 1;
    for (let at = 0; at < this.entries.length; at += 4)
      if (this.entries[at + 1] !== EMPTY) this.count(this.entries[at]!, 1);
  }

  private remove(at: number): void {
    if (this.counting !== 0) this.count(this.entries[at]!, -1);
    this.entries[at] = this.entries[at + 1] = EMPTY;
  }

  private count(page: number, more: number): void {
    this.regions[regionAt(page)] = this.regions[regionAt(page)]! + more;
  }
}
