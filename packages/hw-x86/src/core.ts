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

// States of a line in L1D and L2, as in coherence.ts; a line of L1I has 0, or 1 + the source it was prefetched from.
const EXCLUSIVE = 1;
const DIRTY = 2;
const HELD = 4;
const L1 = 0;
const L2 = 1;
/** {@link Core.fetchThread} when the next fetch has to look. */
const NOBODY = -1;

export class Core implements LineHolder {
  readonly l1i: LineCache;
  readonly l1d: LineCache;
  readonly l2: LineCache;
  readonly tlbs: CoreTlbs;
  private readonly prefetchLines: number;

  /** Thread whose last fetch is the line {@link fetchLo}: fetching there again changes nothing anywhere. */
  fetchThread = NOBODY;
  fetchLo = 0;
  fetchHi = 0;

  /** @param nodeIndex of the core's node in the specification */
  constructor(spec: MachineSpec, private readonly domain: OuterCaches, readonly nodeIndex: number) {
    this.l1i = new LineCache(spec.l1i);
    this.l1d = new LineCache(spec.l1d);
    this.l2 = new LineCache(spec.l2);
    this.tlbs = new CoreTlbs(spec.translation);
    this.prefetchLines = spec.costs.prefetchLines;
    domain.join(this);
  }

  /** Bytes of host memory of tags, states and TLB entries. */
  get hostBytes(): number {
    const caches = [this.l1i, this.l1d, this.l2].reduce((sum, { tags, state }) => sum + tags.byteLength + state.byteLength, 0);
    return caches + this.tlbs.hostBytes;
  }

  /**
   * Data reference by physical line.
   * @param frame as 32 signed bits @param row of the region and kind in `counters`
   */
  data(frame: number, line: number, write: boolean, counters: Float64Array, row: number): void {
    const l1d = this.l1d;
    let source = L1;
    if (l1d.touch(frame, line)) {
      if (write) {
        const slot = l1d.setOf(frame, line);
        if (l1d.state[slot] !== (EXCLUSIVE | DIRTY)) source = this.firstStore(frame, line, slot);
      }
    } else source = this.dataMiss(frame, line, write, counters);
    const index = row + source;
    counters[index] = counters[index]! + 1;
  }

  /** After L1D.touch missed: brings the line. @returns where it came from */
  dataMiss(frame: number, line: number, write: boolean, counters: Float64Array): number {
    const l1d = this.l1d;
    const { victimFrame, victimState } = l1d;
    if ((victimState & DIRTY) !== 0) this.fromL1(victimFrame, line, counters);
    let source = this.fromBelow(frame, line, write, counters);
    const slot = l1d.setOf(frame, line);
    l1d.state[slot] = this.l2.state[this.l2.setOf(frame, line)]! & EXCLUSIVE;
    if (write) {
      const upgrade = this.firstStore(frame, line, slot);
      if (upgrade !== L1) source = upgrade;
    }
    return source;
  }

  /** A store to a line of L1D that is not modified yet. @returns L1, or an upgrade source */
  firstStore(frame: number, line: number, slot: number): number {
    const state = this.l1d.state;
    let source = L1;
    if ((state[slot]! & EXCLUSIVE) === 0) {
      source = this.domain.upgrade(this, frame, line);
      const below = this.l2.find(frame, line);
      if (below !== ABSENT) this.l2.state[below] = this.l2.state[below]! | EXCLUSIVE;
    }
    state[slot] = EXCLUSIVE | DIRTY;
    if (this.l1i.remove(frame, line) !== ABSENT) this.fetchThread = NOBODY;
    return source;
  }

  /** After L1I.touch missed: brings the line and prefetches the next ones of the page. @returns where it came from */
  fetchMiss(frame: number, line: number, counters: Float64Array, prefetchRow: number): number {
    const source = this.fetchLine(frame, line, counters);
    const last = Math.min(63, line + this.prefetchLines);
    for (let next = line + 1; next <= last; next++) {
      if (this.l1i.find(frame, next) !== ABSENT) continue;
      this.l1i.touch(frame, next);
      const from = this.fetchLine(frame, next, counters);
      this.l1i.state[this.l1i.setOf(frame, next)] = from + 1;
      counters[prefetchRow + from] = counters[prefetchRow + from]! + 1;
    }
    return source;
  }

  probe(frame: number, line: number, remove: boolean): number {
    let found = 0;
    if (remove) {
      const data = this.l1d.remove(frame, line);
      if (data !== ABSENT) found = HELD | (data & DIRTY);
      const below = this.l2.remove(frame, line);
      if (below !== ABSENT) found |= HELD | (below & DIRTY);
      if (this.l1i.remove(frame, line) !== ABSENT) {
        found |= HELD;
        this.fetchThread = NOBODY;
      }
      return found;
    }
    const data = this.l1d.find(frame, line);
    if (data !== ABSENT) {
      found = HELD | (this.l1d.state[data]! & DIRTY);
      this.l1d.state[data] = 0;
    }
    const below = this.l2.find(frame, line);
    if (below !== ABSENT) {
      found |= HELD | (this.l2.state[below]! & DIRTY);
      this.l2.state[below] = 0;
    }
    if (this.l1i.find(frame, line) !== ABSENT) found |= HELD;
    return found;
  }

  /** Empties caches, TLBs and paging-structure caches. */
  clear(): void {
    this.l1i.clear();
    this.l1d.clear();
    this.l2.clear();
    this.tlbs.flush(0, 0);
    this.tlbs.structures.flush(0, 0);
    this.fetchThread = NOBODY;
  }

  /** Fills L1I's new line, clean. */
  private fetchLine(frame: number, line: number, counters: Float64Array): number {
    const data = this.l1d.find(frame, line);
    if (data !== ABSENT && (this.l1d.state[data]! & DIRTY) !== 0) {
      this.l1d.state[data] = EXCLUSIVE;
      this.fromL1(frame, line, counters);
    }
    return this.fromBelow(frame, line, false, counters);
  }

  /** L2 and what lies beyond; afterwards the line is in L2. */
  private fromBelow(frame: number, line: number, write: boolean, counters: Float64Array): number {
    const l2 = this.l2;
    if (l2.touch(frame, line)) return L2;
    const { victimFrame, victimState } = l2;
    const domain = this.domain;
    const dirty = (victimState & DIRTY) !== 0;
    // An inclusive L3 may throw the victim's copy out while it makes room: the modification has to be there by then.
    if (!domain.victim && victimFrame !== -1) domain.fromL2(this, victimFrame, line, dirty, counters);
    const source = domain.fetch(this, frame, line, write, counters);
    l2.state[l2.setOf(frame, line)] = domain.granted;
    if (domain.victim && victimFrame !== -1) domain.fromL2(this, victimFrame, line, dirty, counters);
    return source;
  }

  /** A modified line leaves L1D, or is cleaned there. */
  private fromL1(frame: number, line: number, counters: Float64Array): void {
    const below = this.l2.find(frame, line);
    if (below !== ABSENT) this.l2.state[below] = this.l2.state[below]! | DIRTY;
    else this.domain.fromL2(this, frame, line, true, counters);
  }
}
