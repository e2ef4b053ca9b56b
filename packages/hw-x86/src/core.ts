/**
 * One core: L1I, L1D and L2, the TLBs its threads share, and what happens when a line is not in L1. Allocates nothing.
 *
 * L1 and L2 are filled on the way and evict independently. A modified line that leaves L1D marks its copy in L2, else
 * in L3, else goes home: it never moves other lines. L1I and L1D are coherent: a line about to be modified leaves L1I,
 * and a fetch from a modified line cleans it in L1D first.
 */
import { Pattern } from "./bit-patterns.js";
import { ABSENT } from "./cache.js";
import type { CoreCache, MachineParts } from "./parts.js";
import type { LineHolder, OuterCaches } from "./sharing.js";
import type { MachineSpec } from "./spec.js";
import { CoreTlbs } from "./tlb-levels.js";
import { Line, Thread } from "./literals.js";
import { Source } from "./counters.js";

/** What a core keeps: its caches and TLBs. */
export interface CoreStore {
  readonly l1i: CoreCache;
  readonly l1d: CoreCache;
  readonly l2: CoreCache;
  readonly tlbs: CoreTlbs;
}

/** Makes the caches and TLBs of one core, empty. */
export function coreStore(spec: MachineSpec, parts: MachineParts): CoreStore {
  const { frontEnd, prefetchLines } = spec.costs;
  return {
    l1i: parts.cache(spec.l1i, prefetchLines > 0 || frontEnd !== undefined, false),
    l1d: parts.cache(spec.l1d, false, true),
    l2: parts.cache(spec.l2, false, false),
    tlbs: new CoreTlbs(spec.translation, parts),
  };
}

/**
 * One core: L1I, L1D and L2, the TLBs its threads share, and what happens when a line is not in L1. Allocates nothing
 * after its first access: until then it sleeps, and what it keeps is a store that all sleeping cores share. Nobody
 * writes there, for an empty store has nothing to forget, and an access wakes the core first.
 */
export class Core implements LineHolder {
  l1i: CoreCache;
  l1d: CoreCache;
  l2: CoreCache;
  tlbs: CoreTlbs;
  /** 1 until {@link wake}: nothing was accessed yet. */
  asleep: number;
  readonly nodeIndex: number;
  /**
   * Copies that L1I, L1D and L2 have of the lines with the same hash: 0 answers a probe without a search. Empty while
   * nobody else asks.
   */
  private present: Uint16Array;
  private presentShift: number;
  /** 1: others ask it for lines, and {@link present} is right. */
  counting: number;
  /** Makes the array of {@link present}: where batches run, its place is theirs to say. */
  private presentOf: (length: number) => Uint16Array;
  /** Told when the arrays of the core have moved. */
  private readonly users: (() => void)[];
  readonly outer: OuterCaches;
  private readonly spec: MachineSpec;
  /** What the walkers of its threads are made with. */
  readonly parts: MachineParts;
  /** Lines of a page that are prefetched to L1I behind one that missed. */
  readonly prefetchLines: number;
  /** 1: L1I is to hear of the next use of a line it was filled with, which so is no fetch to pass over. */
  private readonly codeUsedAfterFill: number;
  /** Index in L1I of the tag of the line {@link bring} brought last. */
  protected broughtAt: number;
  /** Others ask it for lines: from its first miss on, so that cores which only booted cost nothing. */
  private joined: number;

  /**
   * Thread (in its place of a TLB tag) whose last fetch is the line {@link fetchLo}: fetching there again changes
   * nothing anywhere.
   */
  fetchThread: number;
  fetchLo: number;
  fetchHi: number;

  /**
   * 1: L1D and L2 have at most 8 ways and sets that are a power of two, so that {@link data} can go through them
   * itself.
   */
  private readonly usual: number;
  // What it needs of them: a call and a field of another object cost more than the search.
  private l1dWords: Int32Array;
  private l1dHints: Uint8Array;
  private readonly l1dGroups: number;
  private readonly l1dStride: number;
  private readonly l1dOldest: number;
  private readonly l1dOrder: number;
  private l2Words: Int32Array;
  private readonly l2Groups: number;
  private readonly l2Stride: number;
  private readonly l2Oldest: number;
  private readonly l2Order: number;

  /**
   * @param nodeIndex of the core's node in the specification
   * @param empty what it has until its first access, as {@link coreStore} makes it for this specification
   */
  constructor(spec: MachineSpec, outer: OuterCaches, nodeIndex: number, parts: MachineParts, empty: CoreStore) {
    const { frontEnd, prefetchLines } = spec.costs;
    this.l1i = empty.l1i;
    this.l1d = empty.l1d;
    this.l2 = empty.l2;
    this.tlbs = empty.tlbs;
    this.asleep = 1;
    this.spec = spec;
    this.usual = [this.l1d, this.l2].every((each) => each.narrow !== 0 && each.groupMask >= 0) ? 1 : 0;
    this.l1dWords = this.l1d.words;
    this.l1dHints = this.l1d.hints;
    this.l1dGroups = this.l1d.groupMask;
    this.l1dStride = this.l1d.stride;
    this.l1dOldest = this.l1d.oldestShift;
    this.l1dOrder = this.l1d.orderMask;
    this.l2Words = this.l2.words;
    this.l2Groups = this.l2.groupMask;
    this.l2Stride = this.l2.stride;
    this.l2Oldest = this.l2.oldestShift;
    this.l2Order = this.l2.orderMask;
    this.present = new Uint16Array(0);
    this.presentShift = 31;
    this.counting = 0;
    this.presentOf = (length) => new Uint16Array(length);
    this.users = [];
    this.nodeIndex = nodeIndex;
    this.outer = outer;
    this.parts = parts;
    // A front end that runs ahead goes on to the next line itself.
    this.prefetchLines = frontEnd === undefined ? prefetchLines : 0;
    this.broughtAt = 0;
    this.codeUsedAfterFill = this.l1i.usedAfterFill ?? 0;
    this.fetchThread = Thread.Nobody;
    this.fetchLo = 0;
    this.fetchHi = 0;
    this.joined = 0;
  }

  /** Before the core's first access: it gets caches and TLBs of its own. */
  wake(): void {
    if (this.asleep === 0) return;
    this.asleep = 0;
    const { l1i, l1d, l2, tlbs } = coreStore(this.spec, this.parts);
    this.l1i = l1i;
    this.l1d = l1d;
    this.l2 = l2;
    this.tlbs = tlbs;
    this.l1dHints = l1d.hints;
    this.storeMoved();
  }

  /** Bytes of host memory of tags, states and TLB entries. */
  get hostBytes(): number {
    if (this.asleep !== 0) return 0;
    return this.l1i.hostBytes + this.l1d.hostBytes + this.l2.hostBytes + this.tlbs.hostBytes + this.present.byteLength;
  }

  /** Bits of a line's hash that say nothing of its counter in {@link present}. */
  get presentBits(): number {
    // Twice as many counters as lines at least, so that two of three lines that are not here are known not to be.
    const lines = this.l1i.lines + this.l1d.lines + this.l2.lines;
    return (31 - Math.ceil(Math.log2(lines))) | 0;
  }

  /** @param told when the arrays of the core have moved */
  usedBy(told: () => void): void {
    this.users.push(told);
  }

  /** The arrays of caches and TLBs have moved to a buffer, in which the counters of lines have a place, too. */
  moved(buffer: ArrayBuffer, presentAt: number): void {
    this.presentOf = (length) => new Uint16Array(buffer, presentAt, length);
    if (this.counting !== 0) {
      const { present } = this;
      this.present = this.presentOf(present.length);
      this.present.set(present);
    }
    this.storeMoved();
  }

  private storeMoved(): void {
    this.l1dWords = this.l1d.words;
    this.l2Words = this.l2.words;
    for (const told of this.users) told();
  }

  /**
   * Data reference by physical line. What {@link CoreCache.touch} does, for L1D and then L2, is written out here: this
   * is where most of the time goes, and calls were half of it. {@link dataAnyShape} is the same in few words.
   * @param frame as 32 signed bits @param write 1 for a store @param row of the region and kind in `counters`
   */
  data(frame: number, line: number, write: number, counters: Float64Array, row: number): void {
    if (this.usual === 0) {
      this.dataAnyShape(frame, line, write, counters, row);
      return;
    }
    // What comes in as an argument would else be stored by way of a double.
    frame |= 0;
    const words = this.l1dWords;
    const base = Math.imul(line | ((frame & this.l1dGroups) << 6), this.l1dStride);
    const mark = Math.imul(frame, Pattern.Hash) >>> 24;
    const marks = Math.imul(mark, Pattern.Bytes);
    const first = (words[base + 3]! ^ marks) | 0;
    const second = (words[base + 4]! ^ marks) | 0;
    let fits =
      (((first - Pattern.Bytes) & ~first & Pattern.ByteTops) >>> 7) |
      (((second - Pattern.Bytes) & ~second & Pattern.ByteTops) >>> 6);
    const order = words[base + 2]! | 0;
    // hintAt of cache.ts, whose record of a set this follows: 2 is the order, 3 and 4 are marks, from 5 on tags.
    const hint = (base + Math.imul(frame, 773)) & 4095;
    while (fits !== 0) {
      const bit = 31 - Math.clz32(fits & -fits);
      const way = (bit >> 3) | ((bit & 1) << 2);
      if (words[base + 5 + way] === frame) {
        const other = order ^ Math.imul(way, Pattern.Nibbles);
        const zero = (other - Pattern.Nibbles) & ~other & Pattern.NibbleTops;
        const upTo = (((zero & -zero) << 1) - 1) | 0;
        words[base + 2] = (order & ~upTo) | ((order << 4) & upTo) | way;
        this.l1dHints[hint] = way;
        let index = row | 0;
        if (write !== 0 && ((words[base]! >>> way) & 1) === 0)
          index = (index + this.firstStore(frame, line, base, way)) | 0;
        counters[index] = counters[index]! + 1;
        return;
      }
      fits &= fits - 1;
    }
    // Not there: the way unused longest takes it.
    const way = (order >>> this.l1dOldest) & 15;
    words[base + 2] = (((order << 4) | way) & this.l1dOrder) | ~this.l1dOrder;
    const bit = 1 << way;
    const modified = words[base]! | 0;
    const markAt = (base + 3 + (way >> 2)) | 0;
    const shift = (way & 3) << 3;
    words[markAt] = (words[markAt]! & ~(255 << shift)) | (mark << shift);
    const tagAt = (base + 5 + way) | 0;
    const victim = words[tagAt]! | 0;
    words[tagAt] = frame;
    words[base] = modified & ~bit;
    words[base + 1] = words[base + 1]! & ~bit;
    this.l1dHints[hint] = way;
    if (this.counting !== 0) this.replaced(victim, frame, line);
    if ((modified & bit) !== 0) this.fromL1(victim, line, counters);
    const words2 = this.l2Words;
    const base2 = Math.imul(line | ((frame & this.l2Groups) << 6), this.l2Stride);
    const first2 = (words2[base2 + 3]! ^ marks) | 0;
    const second2 = (words2[base2 + 4]! ^ marks) | 0;
    let fits2 =
      (((first2 - Pattern.Bytes) & ~first2 & Pattern.ByteTops) >>> 7) |
      (((second2 - Pattern.Bytes) & ~second2 & Pattern.ByteTops) >>> 6);
    const order2 = words2[base2 + 2]! | 0;
    let source = Source.L2;
    let way2 = -1;
    while (fits2 !== 0) {
      const bit = 31 - Math.clz32(fits2 & -fits2);
      const way = (bit >> 3) | ((bit & 1) << 2);
      if (words2[base2 + 5 + way] === frame) {
        const other = order2 ^ Math.imul(way, Pattern.Nibbles);
        const zero = (other - Pattern.Nibbles) & ~other & Pattern.NibbleTops;
        const upTo = (((zero & -zero) << 1) - 1) | 0;
        words2[base2 + 2] = (order2 & ~upTo) | ((order2 << 4) & upTo) | way;
        way2 = way;
        break;
      }
      fits2 &= fits2 - 1;
    }
    if (way2 < 0) {
      way2 = (order2 >>> this.l2Oldest) & 15;
      words2[base2 + 2] = (((order2 << 4) | way2) & this.l2Order) | ~this.l2Order;
      const bit = 1 << way2;
      const modified = words2[base2]! | 0;
      const markAt = (base2 + 3 + (way2 >> 2)) | 0;
      const shift = (way2 & 3) << 3;
      words2[markAt] = (words2[markAt]! & ~(255 << shift)) | (mark << shift);
      const tagAt = (base2 + 5 + way2) | 0;
      const victim = words2[tagAt]! | 0;
      words2[tagAt] = frame;
      words2[base2] = modified & ~bit;
      words2[base2 + 1] = words2[base2 + 1]! & ~bit;
      source = this.outside(frame, line, base2, way2, victim, modified & bit, write, counters);
    }
    if (((words2[base2 + 1]! >>> way2) & 1) !== 0) words[base + 1] = words[base + 1]! | bit;
    if (write !== 0) {
      const upgrade = this.firstStore(frame, line, base, way);
      if (upgrade !== Source.L1) source = upgrade;
    }
    const index = (row + source) | 0;
    counters[index] = counters[index]! + 1;
  }

  /** {@link data} for caches of more than 8 ways or of sets that are no power of two. */
  private dataAnyShape(frame: number, line: number, write: number, counters: Float64Array, row: number): void {
    const { l1d } = this;
    const base = l1d.baseOf(frame, line);
    let source: number = Source.L1;
    if (l1d.touch(base, frame) !== 0) {
      if (write !== 0 && ((l1d.words[base]! >>> l1d.way) & 1) === 0)
        source = this.firstStore(frame, line, base, l1d.way);
    } else {
      const way = l1d.way;
      if (this.counting !== 0) this.replaced(l1d.victimFrame, frame, line);
      if (l1d.victimModified !== 0) this.fromL1(l1d.victimFrame, line, counters);
      const found = this.second(frame, line, write, counters);
      source = found & 0xffff;
      if (found !== source) l1d.setState(base, way, Line.Shared);
      if (write !== 0) {
        const upgrade = this.firstStore(frame, line, base, way);
        if (upgrade !== Source.L1) source = upgrade;
      }
    }
    const index = row + source;
    counters[index] = counters[index]! + 1;
  }

  /** After L1I.touch missed: brings the line and prefetches the next ones of the page. @returns where it came from */
  fetchMiss(frame: number, line: number, counters: Float64Array, prefetchRow: number): number {
    if (this.counting !== 0) this.replaced(this.l1i.victimFrame, frame, line);
    const source = this.fetchLine(frame, line, counters);
    if (this.prefetchLines !== 0) this.prefetch(frame, line, counters, prefetchRow);
    // Here, not in the thread's fetch: with this in it V8 would find that too long to write out where it is called.
    if (this.codeUsedAfterFill !== 0) this.tlbs.codeKept = 0;
    return source;
  }

  expectProbes(): void {
    if (this.counting !== 0) return;
    this.presentShift = this.presentBits;
    this.present = this.presentOf(2 ** (32 - this.presentShift));
    this.counting = 1;
    for (const cache of [this.l1i, this.l1d, this.l2]) {
      cache.forEachLine((frame, line) => {
        const at = this.presentAt(frame, line);
        this.present[at] = this.present[at]! + 1;
      });
    }
  }

  probe(frame: number, line: number, remove: number): number {
    if (this.counting !== 0 && this.present[this.presentAt(frame, line)] === 0) return 0;
    const marks = Math.imul(Math.imul(frame, Pattern.Hash) >>> 24, Pattern.Bytes);
    const { l1i } = this;
    const base = l1i.baseOf(frame, line);
    let found = 0;
    if (l1i.mayHold(base, marks)) {
      const code = remove !== 0 ? l1i.remove(base, frame) : l1i.find(base, frame);
      if (code !== ABSENT) {
        found = Line.Held;
        if (remove !== 0) {
          this.fetchThread = Thread.Nobody;
          this.left(frame, line);
        }
      }
    }
    const inFirst = this.l1d.baseOf(frame, line);
    if (this.l1d.mayHold(inFirst, marks)) found |= this.probeData(this.l1d, inFirst, frame, line, remove);
    const inSecond = this.l2.baseOf(frame, line);
    if (this.l2.mayHold(inSecond, marks)) found |= this.probeData(this.l2, inSecond, frame, line, remove);
    return found;
  }

  /** Empties caches, TLBs and paging-structure caches. */
  clear(): void {
    if (this.asleep !== 0) return;
    this.clearCaches();
    this.tlbs.flush(0, 0);
    this.tlbs.structures.flush(0, 0);
  }

  /** Empties L1I, L1D and L2. */
  clearCaches(): void {
    if (this.asleep !== 0) return;
    this.l1i.clear();
    this.l1d.clear();
    this.l2.clear();
    this.present.fill(0);
    this.fetchThread = Thread.Nobody;
  }

  /**
   * Brings a line to L1I ahead of its use.
   * @returns where it came from; -1 where it was there
   */
  protected bring(frame: number, line: number, counters: Float64Array, row: number): number {
    const { l1i } = this;
    const base = l1i.baseOf(frame, line);
    if (l1i.find(base, frame) !== ABSENT) return -1;
    l1i.touch(base, frame);
    if (this.counting !== 0) this.replaced(l1i.victimFrame, frame, line);
    const at = base + l1i.first + l1i.way;
    const from = this.fetchLine(frame, line, counters);
    l1i.origins[at] = from + 1;
    counters[row + from] = counters[row + from]! + 1;
    this.broughtAt = at;
    return from;
  }

  /** A store to a line of L1D that is not modified yet. @returns L1, or an upgrade source */
  firstStore(frame: number, line: number, base: number, way: number): number {
    const { l1d, l1i, outer } = this;
    const words = l1d.words;
    let source = Source.L1;
    if (((words[base + 1]! >>> way) & 1) !== 0) {
      source = outer.upgrade(this, frame, line);
      words[base + 1] = words[base + 1]! & ~(1 << way);
      this.changeState(this.l2, frame, line, ~Line.Shared, 0);
    }
    words[base] = words[base]! | (1 << way);
    const code = l1i.baseOf(frame, line);
    if (
      l1i.mayHold(code, Math.imul(Math.imul(frame, Pattern.Hash) >>> 24, Pattern.Bytes)) &&
      l1i.remove(code, frame) !== ABSENT
    ) {
      this.fetchThread = Thread.Nobody;
      this.left(frame, line);
    }
    return source;
  }

  private prefetch(frame: number, line: number, counters: Float64Array, row: number): void {
    const last = Math.min(63, line + this.prefetchLines);
    for (let next = line + 1; next <= last; next++) this.bring(frame, next, counters, row);
  }

  /** Brings the line that is new in L1I; what L1D changed in it goes below first. */
  private fetchLine(frame: number, line: number, counters: Float64Array): number {
    const { l1d } = this;
    const base = l1d.baseOf(frame, line);
    const way = l1d.find(base, frame);
    if (way !== ABSENT && (l1d.stateOf(base, way) & Line.Modified) !== 0) {
      l1d.setState(base, way, 0);
      this.fromL1(frame, line, counters);
    }
    return this.second(frame, line, 0, counters) & 0xffff;
  }

  /** Uses a line in L2, bringing it in. @returns where it came from, and in bit 16 whether L2 has it shared */
  second(frame: number, line: number, write: number, counters: Float64Array): number {
    const { l2 } = this;
    const base = l2.baseOf(frame, line);
    const source =
      l2.touch(base, frame) !== 0
        ? Source.L2
        : this.outside(frame, line, base, l2.way, l2.victimFrame, l2.victimModified, write, counters);
    return source | (((l2.words[base + 1]! >>> l2.way) & 1) << 16);
  }

  /** After L2.touch missed. @param base of the L2 set @returns where the line came from */
  outside(
    frame: number,
    line: number,
    base: number,
    way: number,
    victimFrame: number,
    modified: number,
    write: number,
    counters: Float64Array,
  ): number {
    const { l2, outer } = this;
    if (this.counting !== 0) this.replaced(victimFrame, frame, line);
    // An inclusive L3 may throw the victim's copy out while it makes room: the modification has to be there by then.
    if (modified !== 0 && outer.victim === 0) outer.fromL2(this, victimFrame, line, 1, counters);
    if (this.joined === 0) {
      this.joined = 1;
      outer.join(this);
    }
    const source = outer.fetch(this, frame, line, write, counters);
    if (outer.granted !== 0) l2.setState(base, way, outer.granted);
    if (outer.victim !== 0 && victimFrame !== -1) outer.fromL2(this, victimFrame, line, modified, counters);
    return source;
  }

  /** A modified line leaves L1D, or is cleaned there. */
  fromL1(frame: number, line: number, counters: Float64Array): void {
    if (!this.changeState(this.l2, frame, line, -1, Line.Modified)) this.outer.fromL2(this, frame, line, 1, counters);
  }

  /** After a cache's touch missed: the line came, its victim went. */
  private replaced(victim: number, frame: number, line: number): void {
    const present = this.present;
    const came = this.presentAt(frame, line);
    present[came] = present[came]! + 1;
    if (victim !== -1) this.left(victim, line);
  }

  /** Counter of a line. */
  private presentAt(frame: number, line: number): number {
    return Math.imul((frame << 6) | line, Pattern.Hash) >>> (this.presentShift | 0);
  }

  private left(frame: number, line: number): void {
    if (this.counting === 0) return;
    const at = this.presentAt(frame, line);
    this.present[at] = this.present[at]! - 1;
  }

  /** @returns whether the line is there */
  private changeState(cache: CoreCache, frame: number, line: number, keep: number, add: number): boolean {
    const base = cache.baseOf(frame, line);
    const way = cache.find(base, frame);
    if (way === ABSENT) return false;
    cache.setState(base, way, (cache.stateOf(base, way) & keep) | add);
    return true;
  }

  private probeData(cache: CoreCache, base: number, frame: number, line: number, remove: number): number {
    if (remove !== 0) {
      const modified = cache.remove(base, frame);
      if (modified === ABSENT) return 0;
      this.left(frame, line);
      return Line.Held | modified;
    }
    const way = cache.find(base, frame);
    if (way === ABSENT) return 0;
    const found = Line.Held | (cache.stateOf(base, way) & Line.Modified);
    cache.setState(base, way, Line.Shared);
    return found;
  }
}
