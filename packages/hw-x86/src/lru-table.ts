/**
 * A small fully associative table with true LRU: keys of two words, values of two. Every operation of the hot path is a
 * hash probe and a few links, whatever the size. Allocates nothing.
 *
 *   bucket -> slot -> slot ...     chain of the slots with the same hash; slot 0 is "none", slots 1 to N hold entries
 *   newer[slot], older[slot]       ring in order of use through slot 0: older[0] is the newest, newer[0] the oldest
 */
import { Pattern } from "./bit-patterns.js";
import { moved } from "./moved.js";

/** Second key of an empty slot. */
const EMPTY = -1;

/** What {@link LruTable.lookup} returns when the key is not there. */
export const NO_SLOT = 0;

/** Byte offsets in a buffer of a table's arrays. */
export interface LruPlaces {
  readonly value: number;
  readonly extra: number;
  readonly key: number;
  readonly tag: number;
  readonly chain: number;
  readonly buckets: number;
  readonly newer: number;
  readonly older: number;
}

/** The table: keys of two words to two values, in arrays; what was used last longest ago goes first. */
export class LruTable {
  /** Values, by slot. */
  value: Int32Array;
  extra: Int32Array;
  private key: Int32Array;
  private tag: Int32Array;
  private chain: Int16Array;
  private buckets: Int16Array;
  private newer: Int16Array;
  private older: Int16Array;
  /** What is shifted out of a key's hash to get its bucket. */
  readonly shift: number;

  /** @param capacity 1 to 16384 entries */
  constructor(readonly capacity: number) {
    // Many buckets, few chains: how long a chain is cannot be foretold, and a wrong guess costs the host more than the
    // probe.
    const bits = Math.ceil(Math.log2(capacity)) + 4;
    this.shift = (32 - bits) | 0;
    this.value = new Int32Array(capacity + 1);
    this.extra = new Int32Array(capacity + 1);
    this.key = new Int32Array(capacity + 1);
    this.tag = new Int32Array(capacity + 1).fill(EMPTY);
    this.chain = new Int16Array(capacity + 1);
    this.buckets = new Int16Array(1 << bits);
    this.newer = new Int16Array(capacity + 1).map((_, slot) => (slot === 0 ? capacity : slot - 1));
    this.older = new Int16Array(capacity + 1).map((_, slot) => (slot === capacity ? 0 : slot + 1));
  }

  /** Decides where its arrays lie elsewhere. @param place gives so many bytes a place */
  placesBy(place: (bytes: number) => number): LruPlaces {
    const { value, extra, key, tag, chain, buckets, newer, older } = this;
    return {
      value: place(value.byteLength),
      extra: place(extra.byteLength),
      key: place(key.byteLength),
      tag: place(tag.byteLength),
      chain: place(chain.byteLength),
      buckets: place(buckets.byteLength),
      newer: place(newer.byteLength),
      older: place(older.byteLength),
    };
  }

  /** Goes on in another buffer. */
  moveTo(buffer: ArrayBuffer, to: LruPlaces): void {
    const words = (from: Int32Array, at: number): Int32Array => moved(from, new Int32Array(buffer, at, from.length));
    const slots = (from: Int16Array, at: number): Int16Array => moved(from, new Int16Array(buffer, at, from.length));
    this.value = words(this.value, to.value);
    this.extra = words(this.extra, to.extra);
    this.key = words(this.key, to.key);
    this.tag = words(this.tag, to.tag);
    this.chain = slots(this.chain, to.chain);
    this.buckets = slots(this.buckets, to.buckets);
    this.newer = slots(this.newer, to.newer);
    this.older = slots(this.older, to.older);
  }

  /** Visits every entry, in no order. Off the access path. @param of what `visit` is told with each */
  forEach(of: number, visit: (of: number, key: number, tag: number, value: number, extra: number) => void): void {
    for (let slot = 1; slot <= this.capacity; slot++)
      if (this.tag[slot] !== EMPTY) visit(of, this.key[slot]!, this.tag[slot]!, this.value[slot]!, this.extra[slot]!);
  }

  /** Uses an entry. @param tag not -1 @returns its slot, or {@link NO_SLOT} */
  lookup(key: number, tag: number): number {
    const newest = this.older[0]!;
    if (this.key[newest] === key && this.tag[newest] === tag) return newest;
    let slot = this.buckets[Math.imul(key ^ Math.imul(tag | 0, Pattern.Hash), Pattern.Hash) >>> (this.shift | 0)]!;
    while (slot !== 0 && (this.key[slot] !== key || this.tag[slot] !== tag)) slot = this.chain[slot]!;
    if (slot !== 0) this.moveToFront(slot);
    return slot;
  }

  /** Enters a key that is not there, in place of the entry unused longest. */
  insert(key: number, tag: number, value: number, extra: number): void {
    const slot = this.newer[0]!;
    if (this.tag[slot] !== EMPTY) this.unchain(slot);
    if (this.older[0] !== slot) this.moveToFront(slot);
    const bucket = Math.imul(key ^ Math.imul(tag | 0, Pattern.Hash), Pattern.Hash) >>> (this.shift | 0);
    this.chain[slot] = this.buckets[bucket]!;
    this.buckets[bucket] = slot;
    // | 0: an argument of a call that is not inlined would go by way of a double.
    this.key[slot] = key | 0;
    this.tag[slot] = tag | 0;
    this.value[slot] = value | 0;
    this.extra[slot] = extra | 0;
  }

  /** Forgets one key, if it is there. */
  drop(key: number, tag: number): void {
    for (let slot = 1; slot <= this.capacity; slot++) {
      if (this.key[slot] === key && this.tag[slot] === tag) this.remove(slot);
    }
  }

  /** Forgets every entry whose tag has these bits; a mask of 0 forgets all. */
  flush(mask: number, bits: number): void {
    for (let slot = 1; slot <= this.capacity; slot++) {
      if (this.tag[slot] !== EMPTY && (this.tag[slot]! & mask) === bits) this.remove(slot);
    }
  }

  /** Bytes of host memory. */
  get hostBytes(): number {
    return (this.capacity + 1) * 22 + this.buckets.byteLength;
  }

  /** Makes a slot empty and the next to be used. */
  private remove(slot: number): void {
    this.unchain(slot);
    this.tag[slot] = EMPTY;
    this.unlink(slot);
    const oldest = this.newer[0]!;
    this.newer[0] = slot;
    this.older[slot] = 0;
    this.newer[slot] = oldest;
    this.older[oldest] = slot;
  }

  private moveToFront(slot: number): void {
    this.unlink(slot);
    const newest = this.older[0]!;
    this.older[0] = slot;
    this.newer[slot] = 0;
    this.older[slot] = newest;
    this.newer[newest] = slot;
  }

  private unlink(slot: number): void {
    const newer = this.newer[slot]!;
    const older = this.older[slot]!;
    this.older[newer] = older;
    this.newer[older] = newer;
  }

  private unchain(slot: number): void {
    const { chain, buckets } = this;
    const bucket =
      Math.imul(this.key[slot]! ^ Math.imul(this.tag[slot]!, Pattern.Hash), Pattern.Hash) >>> (this.shift | 0);
    const next = chain[slot]!;
    if (buckets[bucket] === slot) buckets[bucket] = next;
    else {
      let before = buckets[bucket]!;
      while (chain[before] !== slot) before = chain[before]!;
      chain[before] = next;
    }
  }
}
