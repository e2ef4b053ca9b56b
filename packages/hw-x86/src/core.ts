/**
 * One core: L1I, L1D and L2, the TLBs its threads share, and what happens when a line is not in L1. Allocates nothing.
 *
 * L1 and L2 are filled on the way and evict independently. A modified line that leaves L1D marks its copy in L2, else in L3,
 * else goes home: it never moves other lines. L1I and L1D are coherent: a line about to be modified leaves L1I, and a
 * fetch from a modified line cleans it in L1D first.
 */
import { ABSENT, LineCache } from "./cache.js";
import type { LineHolder, OuterCaches } from "./sharing.js";
import type { MachineSpec } from "./spec.js";
import { CoreTlbs } from "./tlb-levels.js";

// States of a line, cache.ts.
const MODIFIED = 1;
const SHARED = 2;
/** Answer to a probe, sharing.ts. */
const HELD = 4;
// Source of counters.ts.
const L1 = 0;
const L2 = 1;
/** Knuth's multiplicative hash, 2^32 divided by the golden ratio. */
const HASH = 0x9e37_79b1 | 0;
/** {@link Core.fetchThread} when the next fetch has to look. */
const NOBODY = -1;

export class Core implements LineHolder {
  readonly l1i: LineCache;
  readonly l1d: LineCache;
  readonly l2: LineCache;
  readonly tlbs: CoreTlbs;
  readonly nodeIndex: number;
  /** Copies that L1I, L1D and L2 have of the lines with the same hash: 0 answers a probe without a search. Empty while nobody else asks. */
  private present: Uint16Array;
  private presentShift: number;
  private counting: boolean;
  private readonly outer: OuterCaches;
  private readonly prefetchLines: number;
  /** Others ask it for lines: from its first miss on, so that cores which only booted cost nothing. */
  private joined: boolean;

  /** Thread (in its place of a TLB tag) whose last fetch is the line {@link fetchLo}: fetching there again changes nothing anywhere. */
  fetchThread: number;
  fetchLo: number;
  fetchHi: number;

  /** @param nodeIndex of the core's node in the specification */
  constructor(spec: MachineSpec, outer: OuterCaches, nodeIndex: number) {
    this.l1i = new LineCache(spec.l1i, spec.costs.prefetchLines > 0);
    this.l1d = new LineCache(spec.l1d, false, true);
    this.l2 = new LineCache(spec.l2);
    this.tlbs = new CoreTlbs(spec.translation);
    this.present = new Uint16Array(0);
    this.presentShift = 31;
    this.counting = false;
    this.nodeIndex = nodeIndex;
    this.outer = outer;
    this.prefetchLines = spec.costs.prefetchLines;
    this.fetchThread = NOBODY;
    this.fetchLo = 0;
    this.fetchHi = 0;
    this.joined = false;
  }

  /** Bytes of host memory of tags, states and TLB entries. */
  get hostBytes(): number {
    return this.l1i.hostBytes + this.l1d.hostBytes + this.l2.hostBytes + this.tlbs.hostBytes + this.present.byteLength;
  }

  /**
   * Data reference by physical line.
   * @param frame as 32 signed bits @param row of the region and kind in `counters`
   */
  data(frame: number, line: number, write: boolean, counters: Float64Array, row: number): void {
    const l1d = this.l1d;
    const base = l1d.baseOf(frame, line);
    let source = L1;
    if (l1d.touch(base, frame)) {
      if (write && ((l1d.words[base]! >>> l1d.way) & 1) === 0) source = this.firstStore(frame, line, base, l1d.way);
    } else source = this.dataMiss(frame, line, base, write, counters);
    const index = row + source;
    counters[index] = counters[index]! + 1;
  }

  /** After L1I.touch missed: brings the line and prefetches the next ones of the page. @returns where it came from */
  fetchMiss(frame: number, line: number, counters: Float64Array, prefetchRow: number): number {
    if (this.counting) this.replaced(this.l1i, frame, line);
    const source = this.fetchLine(frame, line, counters);
    if (this.prefetchLines !== 0) this.prefetch(frame, line, counters, prefetchRow);
    return source;
  }

  expectProbes(): void {
    if (this.counting) return;
    const caches = [this.l1i, this.l1d, this.l2];
    // Twice as many counters as lines at least, so that two of three lines that are not here are known not to be.
    const lines = caches.reduce((sum, cache) => sum + cache.lines, 0);
    this.presentShift = (31 - Math.ceil(Math.log2(lines))) | 0;
    this.present = new Uint16Array(2 ** (32 - this.presentShift));
    this.counting = true;
    for (const cache of caches) {
      cache.forEachLine((frame, line) => {
        const at = this.presentAt(frame, line);
        this.present[at] = this.present[at]! + 1;
      });
    }
  }

  probe(frame: number, line: number, remove: boolean): number {
    if (this.counting && this.present[this.presentAt(frame, line)] === 0) return 0;
    const { l1i } = this;
    const base = l1i.baseOf(frame, line);
    const code = remove ? l1i.remove(base, frame) : l1i.find(base, frame);
    if (remove && code !== ABSENT) {
      this.fetchThread = NOBODY;
      this.left(frame, line);
    }
    return (code === ABSENT ? 0 : HELD) | this.probeData(this.l1d, frame, line, remove) | this.probeData(this.l2, frame, line, remove);
  }

  /** Empties caches, TLBs and paging-structure caches. */
  clear(): void {
    this.l1i.clear();
    this.l1d.clear();
    this.l2.clear();
    this.tlbs.flush(0, 0);
    this.tlbs.structures.flush(0, 0);
    this.present.fill(0);
    this.fetchThread = NOBODY;
  }

  /** After L1D.touch missed: brings the line. @returns where it came from */
  private dataMiss(frame: number, line: number, base: number, write: boolean, counters: Float64Array): number {
    const { l1d, l2 } = this;
    const way = l1d.way;
    if (this.counting) this.replaced(l1d, frame, line);
    if (l1d.victimModified !== 0) this.fromL1(l1d.victimFrame, line, counters);
    const below = l2.baseOf(frame, line);
    let source = L2;
    if (!l2.touch(below, frame)) source = this.outside(frame, line, below, write, counters);
    const shared = l2.words[below + 1]!;
    if (shared !== 0 && ((shared >>> l2.way) & 1) !== 0) l1d.setState(base, way, SHARED);
    if (write) {
      const upgrade = this.firstStore(frame, line, base, way);
      if (upgrade !== L1) source = upgrade;
    }
    return source;
  }

  /** A store to a line of L1D that is not modified yet. @returns L1, or an upgrade source */
  private firstStore(frame: number, line: number, base: number, way: number): number {
    const { l1d, l1i, outer } = this;
    const words = l1d.words;
    let source = L1;
    if (((words[base + 1]! >>> way) & 1) !== 0) {
      source = outer.upgrade(this, frame, line);
      words[base + 1] = words[base + 1]! & ~(1 << way);
      this.changeState(this.l2, frame, line, ~SHARED, 0);
    }
    words[base] = words[base]! | (1 << way);
    if (l1i.remove(l1i.baseOf(frame, line), frame) !== ABSENT) {
      this.fetchThread = NOBODY;
      this.left(frame, line);
    }
    return source;
  }

  private prefetch(frame: number, line: number, counters: Float64Array, row: number): void {
    const l1i = this.l1i;
    const last = Math.min(63, line + this.prefetchLines);
    for (let next = line + 1; next <= last; next++) {
      const base = l1i.baseOf(frame, next);
      if (l1i.find(base, frame) !== ABSENT) continue;
      l1i.touch(base, frame);
      if (this.counting) this.replaced(l1i, frame, next);
      const at = base + l1i.first + l1i.way;
      const from = this.fetchLine(frame, next, counters);
      l1i.origins[at] = from + 1;
      counters[row + from] = counters[row + from]! + 1;
    }
  }

  /** Brings the line that is new in L1I; what L1D changed in it goes below first. */
  private fetchLine(frame: number, line: number, counters: Float64Array): number {
    const { l1d, l2 } = this;
    const base = l1d.baseOf(frame, line);
    const way = l1d.find(base, frame);
    if (way !== ABSENT && (l1d.stateOf(base, way) & MODIFIED) !== 0) {
      l1d.setState(base, way, 0);
      this.fromL1(frame, line, counters);
    }
    const below = l2.baseOf(frame, line);
    return l2.touch(below, frame) ? L2 : this.outside(frame, line, below, false, counters);
  }

  /** After L2.touch missed. @param base of the L2 set @returns where the line came from */
  private outside(frame: number, line: number, base: number, write: boolean, counters: Float64Array): number {
    const { l2, outer } = this;
    const victimFrame = l2.victimFrame;
    const victimModified = l2.victimModified !== 0;
    const way = l2.way;
    if (this.counting) this.replaced(l2, frame, line);
    // An inclusive L3 may throw the victim's copy out while it makes room: the modification has to be there by then.
    if (!outer.victim && victimModified) outer.fromL2(this, victimFrame, line, true, counters);
    if (!this.joined) {
      this.joined = true;
      outer.join(this);
    }
    const source = outer.fetch(this, frame, line, write, counters);
    if (outer.granted !== 0) l2.setState(base, way, outer.granted);
    if (outer.victim && victimFrame !== -1) outer.fromL2(this, victimFrame, line, victimModified, counters);
    return source;
  }

  /** A modified line leaves L1D, or is cleaned there. */
  private fromL1(frame: number, line: number, counters: Float64Array): void {
    if (!this.changeState(this.l2, frame, line, -1, MODIFIED)) this.outer.fromL2(this, frame, line, true, counters);
  }

  /** After a cache's touch missed: the line came, its victim went. */
  private replaced(cache: LineCache, frame: number, line: number): void {
    const present = this.present;
    const came = this.presentAt(frame, line);
    present[came] = present[came]! + 1;
    if (cache.victimFrame !== -1) this.left(cache.victimFrame, line);
  }

  /** Counter of a line. */
  private presentAt(frame: number, line: number): number {
    return Math.imul((frame << 6) | line, HASH) >>> (this.presentShift | 0);
  }

  private left(frame: number, line: number): void {
    if (!this.counting) return;
    const at = this.presentAt(frame, line);
    this.present[at] = this.present[at]! - 1;
  }

  /** @returns whether the line is there */
  private changeState(cache: LineCache, frame: number, line: number, keep: number, add: number): boolean {
    const base = cache.baseOf(frame, line);
    const way = cache.find(base, frame);
    if (way === ABSENT) return false;
    cache.setState(base, way, (cache.stateOf(base, way) & keep) | add);
    return true;
  }

  private probeData(cache: LineCache, frame: number, line: number, remove: boolean): number {
    const base = cache.baseOf(frame, line);
    if (remove) {
      const modified = cache.remove(base, frame);
      if (modified === ABSENT) return 0;
      this.left(frame, line);
      return HELD | modified;
    }
    const way = cache.find(base, frame);
    if (way === ABSENT) return 0;
    const found = HELD | (cache.stateOf(base, way) & MODIFIED);
    cache.setState(base, way, SHARED);
    return found;
  }
}
