/**
 * Which way of a set goes when a line or page comes: policies beside true LRU, which caches and TLBs have built in.
 * Allocates nothing.
 *
 *   tree-plru  ways a power of two; one bit a node of a tree over the ways, turned away from what is used
 *   fifo       the one that came first, whatever was used since
 *   random     any, by a xorshift generator of 32 bits
 *   nru        one bit a way, set by use; when all would be set, the others are cleared; the first clear one goes
 *   srrip      two bits a way: 2 when it comes, 0 when it is used; the first with 3 goes, all age until one has it
 */
import type { Replacement } from "./spec.js";

/**
 * State of one structure, asked and told by set and way. Empty ways are filled first, lowest first, without being asked
 * for.
 */
export interface Victims {
  /** A way was found. */
  used(set: number, way: number): void;
  /** A way was given to something new. */
  filled(set: number, way: number): void;
  /** The way of a full set that goes; {@link filled} follows. */
  victim(set: number): number;
  /** Everything is empty again. */
  clear(): void;
  readonly hostBytes: number;
}

/** Tree of ways - 1 bits in one word a set: bit n is node n, children 2n and 2n + 1, the root 1; 0 points left. */
class TreePlru implements Victims {
  private readonly bits: Int32Array;
  constructor(
    sets: number,
    private readonly ways: number,
  ) {
    this.bits = new Int32Array(sets * Math.max(1, ways >> 5));
  }
  get hostBytes(): number {
    return this.bits.byteLength;
  }
  used(set: number, way: number): void {
    for (let node = (this.ways + way) | 0; node > 1; node >>= 1) this.point(set, node >> 1, 1 - (node & 1));
  }
  filled(set: number, way: number): void {
    this.used(set, way);
  }
  victim(set: number): number {
    let node = 1;
    while (node < this.ways) {
      const words = Math.max(1, this.ways >> 5);
      node = (node << 1) | ((this.bits[set * words + (node >> 5)]! >>> (node & 31)) & 1);
    }
    return node - this.ways;
  }
  clear(): void {
    this.bits.fill(0);
  }
  private point(set: number, node: number, side: number): void {
    const at = set * Math.max(1, this.ways >> 5) + (node >> 5);
    const bit = 1 << (node & 31);
    this.bits[at] = side !== 0 ? this.bits[at]! | bit : this.bits[at]! & ~bit;
  }
}

class Fifo implements Victims {
  private readonly came: Float64Array;
  private clock = 0;
  constructor(
    sets: number,
    private readonly ways: number,
  ) {
    this.came = new Float64Array(sets * ways);
  }
  get hostBytes(): number {
    return this.came.byteLength;
  }
  used(): void {}
  filled(set: number, way: number): void {
    this.came[set * this.ways + way] = ++this.clock;
  }
  victim(set: number): number {
    const first = set * this.ways;
    let oldest = 0;
    for (let way = 1; way < this.ways; way++) if (this.came[first + way]! < this.came[first + oldest]!) oldest = way;
    return oldest;
  }
  clear(): void {
    this.came.fill(0);
    this.clock = 0;
  }
}

/** Marsaglia, "Xorshift RNGs", 2003: 13, 17, 5. */
class RandomWay implements Victims {
  private state: number;
  readonly hostBytes = 0;
  constructor(
    private readonly ways: number,
    private readonly seed: number,
  ) {
    this.state = start(seed);
  }
  used(): void {}
  filled(): void {}
  victim(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) % this.ways;
  }
  clear(): void {
    this.state = start(this.seed);
  }
}
/** The generator stays at 0 for ever: a seed of 0 is another number. */
const start = (seed: number): number => seed | 0 || 0x6b72_6570;

class NotRecentlyUsed implements Victims {
  private readonly recent: Uint8Array;
  constructor(
    sets: number,
    private readonly ways: number,
  ) {
    this.recent = new Uint8Array(sets * ways);
  }
  get hostBytes(): number {
    return this.recent.byteLength;
  }
  used(set: number, way: number): void {
    const first = set * this.ways;
    this.recent[first + way] = 1;
    for (let each = 0; each < this.ways; each++) if (this.recent[first + each] === 0) return;
    this.recent.fill(0, first, first + this.ways);
    this.recent[first + way] = 1;
  }
  filled(set: number, way: number): void {
    this.used(set, way);
  }
  victim(set: number): number {
    const first = set * this.ways;
    for (let way = 0; way < this.ways; way++) if (this.recent[first + way] === 0) return way;
    return 0;
  }
  clear(): void {
    this.recent.fill(0);
  }
}

class Srrip implements Victims {
  private readonly distance: Uint8Array;
  constructor(
    sets: number,
    private readonly ways: number,
  ) {
    this.distance = new Uint8Array(sets * ways);
  }
  get hostBytes(): number {
    return this.distance.byteLength;
  }
  used(set: number, way: number): void {
    this.distance[set * this.ways + way] = 0;
  }
  filled(set: number, way: number): void {
    this.distance[set * this.ways + way] = 2;
  }
  victim(set: number): number {
    const first = set * this.ways;
    for (;;) {
      for (let way = 0; way < this.ways; way++) if (this.distance[first + way] === 3) return way;
      for (let way = 0; way < this.ways; way++) this.distance[first + way] = this.distance[first + way]! + 1;
    }
  }
  clear(): void {
    this.distance.fill(0);
  }
}

/** Whether a policy tells a line that was filled from one that was used since: SRRIP alone fills as not used yet. */
export const usedAfterFill = ({ policy }: Replacement): 0 | 1 => (policy === "srrip" ? 1 : 0);

/** @param replacement any but lru, which has no state of its own @param ways of a set */
export function victimsOf({ policy, seed = 0 }: Replacement, sets: number, ways: number): Victims {
  switch (policy) {
    case "tree-plru":
      return new TreePlru(sets, ways);
    case "fifo":
      return new Fifo(sets, ways);
    case "random":
      return new RandomWay(ways, seed);
    case "nru":
      return new NotRecentlyUsed(sets, ways);
    case "srrip":
      return new Srrip(sets, ways);
    case "lru":
      throw new RangeError("true LRU is built into caches and TLBs");
  }
}
