/**
 * One hardware thread: the path of every access through TLB, tables and caches. Allocates nothing per access when
 * halves are passed as 32 signed bits (`lo | 0`).
 *
 * The access functions hold the common case themselves: the page used last in its L1 TLB set, the line where
 * it was last in its L1 set. Everything else is a call. None has more bytecode than V8 writes out where it is called
 * (460 bytes; bench's test/house/micro.test.ts holds them to it): one more and each access is a call.
 */
import { hintAt, promoted } from "./cache.js";
import type { Core } from "./core.js";
import { batchOf, type BatchedThread } from "./batch/access-batch.js";
import { Control } from "./batch/control.js";
import type { Cpu, ReferenceBatch } from "./machine-api.js";
import type { PhysMemory } from "./memory-api.js";
import { SparseMemory } from "./phys-memory.js";
import { ThreadRegisters } from "./registers.js";
import { MISS, Tag, regionAt } from "./tlb.js";
import { Context, Denial, Thread } from "./literals.js";
import { FaultBit } from "./fault-bit.js";
import { frameHighOf } from "./frame-number.js";
import { Walker } from "./walker.js";
import { type CounterLayout, Kind } from "./counters.js";

const LOAD = 0;
const STORE = 1;
const FETCH = 2;

// machine-api.ts.
const enum Code {
  Fault = 0x8000_0000 | 0,
  NotCanonical = Fault | 0x1_0000,
}

// Kinds, places and events of counters.ts.
const KINDS = 6;
const PLACES = 5;
const FAULTS = 2;

/** Where a CPU's counts lie. */
type Layout = Pick<CounterLayout, "sources" | "placesAt" | "eventsAt" | "writeBacksAt" | "place">;

/** What a thread is made with, beside its core. */
export interface ThreadParts {
  readonly id: number;
  readonly node: number;
  /** Number within the core, 0 to 7. */
  readonly thread: number;
  readonly memory: PhysMemory;
  readonly physicalBits: number;
  /** Place of the encryption bit; absent: the machine has none. */
  readonly encryptionBit: number | undefined;
  /** This CPU's, laid out by `layout`. */
  readonly counters: Float64Array;
  readonly layout: Layout;
}

/**
 * One hardware thread: the path of every access through TLB, tables and caches. Allocates nothing an access when halves
 * are passed as 32 signed bits (`lo | 0`).
 */
export class HardwareThread extends ThreadRegisters implements Cpu, BatchedThread {
  readonly id: number;
  readonly node: number;
  /** This CPU's counts, laid out by CounterLayout. */
  readonly counters: Float64Array;
  readonly layout: Layout;
  private regionValue = 0;

  protected frame = 0;

  // First indices of this region's rows.
  protected fetchRow = 0;
  protected prefetchedRow = 0;
  private loadRow = 0;
  private storeRow = 0;
  protected prefetchRow = 0;
  private placeRow = 0;

  // The parts of the core the common case touches.
  private dataEntries: Int32Array;
  private readonly dataMask: number;
  private readonly dataWays: number;
  private dataOrder: Int32Array;
  private readonly dataLast: number;
  private l1dWords: Int32Array;
  private l1dHints: Uint8Array;
  private readonly l1dFirst: number;
  private readonly l1dNarrow: number;
  private readonly l1dGroups: number;
  private readonly l1dStride: number;
  /** Frame of the page of the core's last fetch. */
  protected fetchFrame = 0;
  /** What {@link batch} made; null where it cannot. */
  private batched: ReferenceBatch | null | undefined;

  constructor({ id, node, thread, memory, physicalBits, encryptionBit, counters, layout }: ThreadParts, core: Core) {
    super(core, thread, memory, physicalBits, counters, encryptionBit);
    this.id = id;
    this.node = node;
    this.counters = counters;
    this.layout = layout;
    const { dataSmall } = core.tlbs;
    this.dataEntries = dataSmall.entries;
    this.dataMask = dataSmall.setMask;
    this.dataWays = dataSmall.ways;
    this.dataOrder = dataSmall.order;
    this.dataLast = dataSmall.lastMask;
    this.l1dWords = core.l1d.words;
    this.l1dHints = core.l1d.hints;
    this.l1dFirst = core.l1d.first;
    this.l1dNarrow = core.l1d.narrow;
    this.l1dGroups = core.l1d.groupMask;
    this.l1dStride = core.l1d.stride;
    this.batched = undefined;
    this.region = 0;
    core.usedBy(() => {
      this.dataEntries = core.tlbs.dataSmall.entries;
      this.dataOrder = core.tlbs.dataSmall.order;
      this.l1dWords = core.l1d.words;
      this.l1dHints = core.l1d.hints;
      this.deriveContext();
    });
  }

  fetch(lo: number, hi: number): number {
    const core = this.core;
    const counters = this.counters;
    if (core.fetchThread === this.thread && (hi | 0) === core.fetchHi) {
      const apart = (lo ^ core.fetchLo) | 0;
      if ((apart & ~63) === 0) {
        counters[this.fetchRow] = counters[this.fetchRow]! + 1;
        this.frame = this.fetchFrame;
        return 0;
      }
      // The same page again: its entry is the last one used, so looking it up would change nothing.
      if ((apart & ~4095) !== 0) {
        const fault = this.translate(lo, hi, FETCH);
        if (fault !== 0) return fault;
      } else this.frame = this.fetchFrame;
    } else {
      const fault = this.translate(lo, hi, FETCH);
      if (fault !== 0) return fault;
    }
    const frame = this.frame;
    const line = (lo >>> 6) & 63;
    const base = core.l1i.baseOf(frame, line);
    if (core.l1i.touch(base, frame) !== 0) {
      const origins = core.l1i.origins;
      const at = base + core.l1i.first + core.l1i.way;
      const from = origins.length === 0 ? 0 : origins[at]!;
      if (from === 0) counters[this.fetchRow] = counters[this.fetchRow]! + 1;
      else {
        origins[at] = 0;
        const index = this.prefetchedRow + from - 1;
        counters[index] = counters[index]! + 1;
      }
    } else {
      const index = this.fetchRow + core.fetchMiss(frame, line, counters, this.prefetchRow);
      counters[index] = counters[index]! + 1;
    }
    // A page no code TLB keeps is looked up anew at every fetch.
    core.fetchThread = core.tlbs.codeKept !== 0 ? this.thread : Thread.Nobody;
    core.fetchLo = lo | 0;
    core.fetchHi = hi | 0;
    this.fetchFrame = frame;
    return 0;
  }

  load(lo: number, hi: number): number {
    const entries = this.dataEntries;
    const page = (lo >>> 12) | (hi << 20);
    const set = page & this.dataMask;
    const at = (Math.imul(set, this.dataWays | 0) + (this.dataOrder[set]! & this.dataLast)) << 2;
    const high = (hi >>> 12) & 0x1fff;
    const tag = entries[at + 1]!;
    let frame = entries[at + 2]!;
    if (
      entries[at] !== page ||
      (tag !== (high | this.context) && tag !== (high | this.globalContext)) ||
      (entries[at + 3]! & this.denyLoad) !== 0 ||
      (hi << this.canonicalShift) >> this.canonicalShift !== (hi | 0)
    ) {
      const fault = this.translate(lo, hi, LOAD);
      if (fault !== 0) return fault;
      frame = this.frame;
    } else this.frame = frame;
    const line = (lo >>> 6) & 63;
    const counters = this.counters;
    const base = Math.imul(line | ((frame & this.l1dGroups) << 6), this.l1dStride | 0);
    const way = this.l1dHints[hintAt(base, frame)]!;
    const words = this.l1dWords;
    if (words[base + this.l1dFirst + way] === frame) {
      if (this.l1dNarrow !== 0) words[base + 2] = promoted(words[base + 2]!, way);
      counters[this.loadRow] = counters[this.loadRow]! + 1;
    } else this.core.data(frame, line, 0, counters, this.loadRow);
    return 0;
  }

  store(lo: number, hi: number): number {
    const entries = this.dataEntries;
    const page = (lo >>> 12) | (hi << 20);
    const set = page & this.dataMask;
    const at = (Math.imul(set, this.dataWays | 0) + (this.dataOrder[set]! & this.dataLast)) << 2;
    const high = (hi >>> 12) & 0x1fff;
    const tag = entries[at + 1]!;
    let frame = entries[at + 2]!;
    if (
      entries[at] !== page ||
      (tag !== (high | this.context) && tag !== (high | this.globalContext)) ||
      (entries[at + 3]! & this.denyStore) !== 0 ||
      (hi << this.canonicalShift) >> this.canonicalShift !== (hi | 0)
    ) {
      const fault = this.translate(lo, hi, STORE);
      if (fault !== 0) return fault;
      frame = this.frame;
    } else this.frame = frame;
    const line = (lo >>> 6) & 63;
    const counters = this.counters;
    const base = Math.imul(line | ((frame & this.l1dGroups) << 6), this.l1dStride);
    // Modified already: nobody to ask.
    const way = this.l1dHints[hintAt(base, frame)]!;
    const words = this.l1dWords;
    const row = this.storeRow;
    if (words[base + this.l1dFirst + way] === frame && ((words[base]! >>> way) & 1) !== 0) {
      if (this.l1dNarrow !== 0) words[base + 2] = promoted(words[base + 2]!, way);
      counters[row] = counters[row]! + 1;
    } else this.core.data(frame, line, 1, counters, row);
    return 0;
  }

  loadPhysical(frame: number, line: number): void {
    if (this.core.asleep !== 0) this.core.wake();
    this.core.data(frame | 0, line, 0, this.counters, this.loadRow);
  }

  storePhysical(frame: number, line: number): void {
    if (this.core.asleep !== 0) this.core.wake();
    this.core.data(frame | 0, line, 1, this.counters, this.storeRow);
  }

  batch(): ReferenceBatch | undefined {
    this.core.wake();
    this.batched ??= batchOf(this.core, this) ?? null;
    return this.batched ?? undefined;
  }

  walkAhead(lo: number, hi: number, level: number): void {
    if (this.core.asleep !== 0) this.core.wake();
    if ((this.context & Context.Never) !== 0 || (hi << this.canonicalShift) >> this.canonicalShift !== (hi | 0)) return;
    const { tlbs } = this.core;
    const page = (lo >>> 12) | (hi << 20);
    const high = (hi >>> 12) & 0x1fff;
    const tag = high | this.context;
    const globalTag = high | this.globalContext;
    if (
      tlbs.dataSmall.lookup(page, page, tag, globalTag) !== MISS ||
      tlbs.findLarge(0, page, tag, globalTag) !== 0 ||
      tlbs.findSecond(0, page, tag, globalTag) !== 0
    )
      return;
    const { walker } = this;
    const found = walker.walk(lo, hi, tag, LOAD, 0) === 0;
    tlbs.fills = (tlbs.fills + 1) | 0;
    // Nothing is kept of entries that it has not come to; the table that one of them leads to is a level lower.
    tlbs.structures.dropBelow(level - 1, page, tag);
    if (found && walker.level >= level)
      tlbs.insert(
        0,
        walker.level,
        page,
        walker.global !== 0 && this.globals ? globalTag : tag,
        walker.frame,
        walker.denials,
      );
  }

  retire(count: number): void {
    this.counters[this.placeRow] = this.counters[this.placeRow]! + count;
  }

  get lastFrame(): number {
    return this.frame >>> 0;
  }

  get region(): number {
    return this.regionValue;
  }
  set region(region: number) {
    if (region >>> 0 !== region || region > 7) throw new RangeError(`region ${region} does not exist; 0 to 7`);
    const { sources, placesAt } = this.layout;
    const row = region * KINDS;
    this.regionValue = region;
    this.fetchRow = (row + Kind.Fetch) * sources;
    this.prefetchedRow = (row + Kind.PrefetchedFetch) * sources;
    this.loadRow = (row + Kind.Load) * sources;
    this.storeRow = (row + Kind.Store) * sources;
    this.walker.row = (row + Kind.Walk) * sources;
    this.prefetchRow = (row + Kind.Prefetch) * sources;
    this.placeRow = placesAt + region * PLACES;
  }

  enterBatch(control: Int32Array): void {
    const { core } = this;
    control[Control.Context] = this.context;
    control[Control.GlobalContext] = this.globalContext;
    control[Control.DenyLoad] = this.denyLoad;
    control[Control.DenyStore] = this.denyStore;
    control[Control.DenyFetch] = this.denyFetch;
    control[Control.CanonicalShift] = this.canonicalShift;
    control[Control.Region] = this.regionValue;
    control[Control.Row] = this.regionValue * KINDS * this.layout.sources * 4;
    control[Control.Kept] = core.fetchThread === this.thread ? 1 : 0;
    control[Control.FetchLo] = core.fetchLo & ~63;
    control[Control.FetchHi] = core.fetchHi;
    control[Control.FetchFrame] = this.fetchFrame;
    control[Control.Frame] = this.frame;
    control[Control.CodeKept] = core.tlbs.codeKept;
    const { walker } = this;
    control[Control.WalkRoot] = walker.root;
    control[Control.WalkLevels] = walker.levels;
    control[Control.WalkReserved] = walker instanceof Walker ? walker.reserved : 0;
    control[Control.Globals] = this.globals ? -1 : 0;
  }

  leaveBatch(control: Int32Array): void {
    const { core } = this;
    core.fetchThread = control[Control.Kept] !== 0 ? this.thread : Thread.Nobody;
    core.fetchLo = control[Control.FetchLo]!;
    core.fetchHi = control[Control.FetchHi]!;
    core.tlbs.codeKept = control[Control.CodeKept]!;
    this.fetchFrame = control[Control.FetchFrame]!;
    this.frame = control[Control.Frame]!;
    this.followBatch(control);
  }

  get walkedInBatch(): SparseMemory | undefined {
    const { walker } = this;
    // Which entries are encrypted is told by the walk in TypeScript alone.
    const ours = walker instanceof Walker && walker.memory instanceof SparseMemory && walker.encryption === 0;
    return ours ? (walker.memory as SparseMemory) : undefined;
  }

  translateForBatch(control: Int32Array, lo: number, hi: number, access: number): number {
    // Walks are counted under it.
    this.followBatch(control);
    this.frame = control[Control.Frame]!;
    const fault = this.translate(lo, hi, access);
    control[Control.Frame] = this.frame;
    if (access === FETCH) control[Control.CodeKept] = this.core.tlbs.codeKept;
    return fault;
  }

  /** The region register is the batch's as well. */
  private followBatch(control: Int32Array): void {
    const region = control[Control.Region]!;
    if (region !== this.regionValue) this.region = region;
  }

  /** A fetch's address, for threads that fetch in a way of their own. @returns as {@link fetch}; then `frame` is set */
  protected translateFetch(lo: number, hi: number): number {
    return this.translate(lo, hi, FETCH);
  }

  /** Everything but the common case. @returns 0, then `frame` is set, or what the access function returns */
  private translate(lo: number, hi: number, access: number): number {
    if ((this.context & Context.Never) !== 0) {
      if (this.core.asleep !== 0) {
        this.core.wake();
        return this.translate(lo, hi, access);
      }
      // Addresses are physical: such as no entry could name, and such as have no frame, are nowhere.
      const high = (hi & ~0xf_ffff) !== 0 ? -1 : frameHighOf(hi);
      if (high < 0) return Code.NotCanonical;
      if (access === FETCH) this.core.tlbs.codeKept = 1;
      this.frame = (lo >>> 12) | (high << 20);
      return 0;
    }
    if ((hi << this.canonicalShift) >> this.canonicalShift !== (hi | 0)) return Code.NotCanonical;
    const tlbs = this.core.tlbs;
    const code = access >> 1;
    const page = (lo >>> 12) | (hi << 20);
    const high = (hi >>> 12) & 0x1fff;
    const tag = high | this.context;
    const globalTag = high | this.globalContext;
    const deny = code !== 0 ? this.denyFetch : access === STORE ? this.denyStore : this.denyLoad;
    const small = code !== 0 ? tlbs.codeSmall : tlbs.dataSmall;
    let at = MISS;
    if (tlbs.anyLarge === 0 || small.regions[regionAt(page)] !== 0) at = small.lookup(page, page, tag, globalTag);
    else if (this.lastLarge(code, page, tag, globalTag, deny) !== 0) return 0;
    let denials: number;
    if (at !== MISS) {
      if (code !== 0) tlbs.codeKept = 1;
      this.frame = small.entries[at + 2]!;
      denials = small.entries[at + 3]! & deny;
    } else if (tlbs.anyLarge !== 0 && tlbs.findLarge(code, page, tag, globalTag) !== 0) {
      this.frame = tlbs.hitFrame;
      denials = tlbs.hitDenials & deny;
    } else if (tlbs.findSecond(code, page, tag, globalTag) !== 0) {
      const index = this.placeRow + 2 - code;
      this.counters[index] = this.counters[index]! + 1;
      this.frame = tlbs.hitFrame;
      denials = tlbs.hitDenials & deny;
    } else return this.walk(lo, hi, access, deny);
    if (denials === 0) return 0;
    if (denials !== Denial.NotDirty) return this.fault(page, high, access, FaultBit.Protection);
    // The entry allows the store but was made by a load: the walk sets D, then the entry is made anew.
    this.dropPage(page, high);
    return this.walk(lo, hi, access, deny);
  }

  /**
   * A page that is in no small TLB, if it is in the 2 MiB page used last of its set: nothing changes.
   * @returns 1 if it is, then `frame` is set
   */
  private lastLarge(code: number, page: number, tag: number, globalTag: number, deny: number): number {
    const tlbs = this.core.tlbs;
    const large = code !== 0 ? tlbs.codeLarge : tlbs.dataLarge;
    if (large === null) return 0;
    const entries = large.entries;
    const set = (page >>> 9) & large.setMask;
    const at = (Math.imul(set, large.ways | 0) + (large.order[set]! & large.lastMask)) << 2;
    const found = entries[at + 1]!;
    if (
      entries[at] !== (page & ~0x1ff) ||
      (found !== (tag | Tag.Large) && found !== (globalTag | Tag.Large)) ||
      (entries[at + 3]! & deny) !== 0
    )
      return 0;
    if (code !== 0) tlbs.codeKept = 1;
    this.frame = entries[at + 2]! + (page & 0x1ff);
    return 1;
  }

  /** A walk, when no TLB has the translation. @returns as {@link translate} */
  protected walk(lo: number, hi: number, access: number, deny: number): number {
    const code = access >> 1;
    const page = (lo >>> 12) | (hi << 20);
    const high = (hi >>> 12) & 0x1fff;
    const counters = this.counters;
    const index = this.placeRow + 4 - code;
    counters[index] = counters[index]! + 1;
    const walker = this.walker;
    const tag = high | this.context;
    const refused = walker.walk(lo, hi, tag, access & STORE, deny);
    if (refused !== 0) return this.fault(page, high, access, refused & 0xff);
    const { level, frame } = walker;
    const global = walker.global !== 0 && this.globals;
    this.core.tlbs.insert(code, level, page, global ? high | this.globalContext : tag, frame, walker.denials);
    this.frame = level === 1 ? frame : level === 2 ? frame + (page & 0x1ff) : frame + (page & 0x3_ffff);
    return 0;
  }

  /** The error code; what is cached for the address goes, so that a corrected table is seen at the next try. */
  private fault(page: number, high: number, access: number, bits: number): number {
    this.dropPage(page, high);
    this.core.tlbs.structures.drop(page, high | this.context);
    const index = this.layout.eventsAt + FAULTS;
    this.counters[index] = this.counters[index]! + 1;
    return (
      Code.Fault |
      bits |
      (access === STORE ? FaultBit.Write : 0) |
      (this.privilege === 3 ? FaultBit.User : 0) |
      (access === FETCH && this.fetchReported ? FaultBit.Fetch : 0)
    );
  }
}
