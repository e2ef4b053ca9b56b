/**
 * One hardware thread: control registers and the path of every access, TLB, tables, caches. Allocates nothing per access
 * when halves are passed as 32 signed bits (`lo | 0`).
 *
 * The three access functions hold the common case themselves: the page used last in its L1 TLB set, the line in way 0 of its
 * L1 set, where a hit changes no order. Everything else is a call.
 */
import type { Core } from "./core.js";
import { CR0_KEPT, CR4_KEPT, EFER_KEPT } from "./control.js";
import { cr3Frame, cr3Pcid } from "./cr3.js";
import { MachineError } from "./errors.js";
import type { Cpu } from "./machine-api.js";
import type { PhysMemory } from "./memory-api.js";
import { MISS, TAG_GLOBAL, TAG_PCID, TAG_THREAD } from "./tlb.js";
import { Walker } from "./walker.js";

const LOAD = 0;
const STORE = 1;
const FETCH = 2;

// Denials, walker.ts.
const NOT_WRITABLE = 1;
const NOT_USER = 2;
const USER_PAGE = 4;
const NO_EXECUTE = 8;
const NOT_DIRTY = 16;

// machine-api.ts.
const FAULT = 0x8000_0000 | 0;
const NOT_CANONICAL = FAULT | 0x1_0000;
const FAULT_PROTECTION = 1;
const FAULT_WRITE = 2;
const FAULT_USER = 4;
const FAULT_FETCH = 16;

// Control registers, control.ts.
const CR0_WP = 0x1_0000;
const CR0_PG = 0x8000_0000;
const CR4_PAE = 0x20;
const CR4_PGE = 0x80;
const CR4_LA57 = 0x1000;
const CR4_PCIDE = 0x2_0000;
const CR4_SMEP = 0x10_0000;
const CR4_SMAP = 0x20_0000;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
const EFER_NXE = 0x800;

/** Kinds, sources and places of counters.ts. */
const KIND_FETCH = 0;
const KIND_PREFETCHED = 1;
const KIND_LOAD = 2;
const KIND_STORE = 3;
const KIND_WALK = 4;
const KIND_PREFETCH = 5;
const KINDS = 6;
const PLACES = 5;
const FAULTS = 2;

const NOBODY = -1;
/** A tag bit no entry has: with it nothing hits. */
const NEVER = 1 << 30;

/** Where a CPU's counts lie. */
interface Layout { readonly sources: number; readonly placesAt: number; readonly eventsAt: number }

export class HardwareThread implements Cpu {
  private readonly walker: Walker;
  private readonly thread: number;

  /** Counts everything that may change what an address means to this thread: lets the interpreter keep translations of its own. */
  translationChanges = 0;

  private privilegeValue: 0 | 3 = 0;
  private cr0Value = 0;
  private cr3Value = 0n;
  private cr4Value = 0;
  private eferValue = 0;
  private accessAllowed = false;
  private regionValue = 0;

  // What the hot path reads, derived from the registers by derive().
  private paging = false;
  private levels = 4;
  private root = 0;
  /** Thread and PCID in their places of a TLB tag, for entries of this PCID and for global ones. */
  private context = NEVER;
  private globalContext = NEVER;
  /** hi << shift >> shift === hi: bits 63 to 47 or 63 to 56 are alike. */
  private canonicalShift = 16;
  private denyLoad = 0;
  private denyStore = 0;
  private denyFetch = 0;
  private frame = 0;

  // First indices of this region's rows.
  private fetchRow = 0;
  private prefetchedRow = 0;
  private loadRow = 0;
  private storeRow = 0;
  private walkRow = 0;
  private prefetchRow = 0;
  private placeRow = 0;

  // The parts of the core the common case touches.
  private readonly dataEntries: Int32Array;
  private readonly dataMask: number;
  private readonly dataWays: number;
  private readonly dataOrder: Uint8Array;
  private readonly l1dWords: Int32Array;
  private readonly l1dGroups: number;
  private readonly l1dStride: number;
  /** Frame of the page of the core's last fetch. */
  private fetchFrame = 0;

  /**
   * @param thread number within the core, 0 to 7
   * @param counters this CPU's, laid out by `layout`
   */
  constructor(readonly id: number, readonly node: number, readonly core: Core, thread: number, memory: PhysMemory,
    physicalBits: number, readonly counters: Float64Array, private readonly layout: Layout) {
    this.walker = new Walker(memory, core, physicalBits);
    this.thread = thread << 25;
    const { dataSmall } = core.tlbs;
    this.dataEntries = dataSmall.entries;
    this.dataMask = dataSmall.setMask;
    this.dataWays = dataSmall.ways;
    this.dataOrder = dataSmall.order;
    this.l1dWords = core.l1d.words;
    this.l1dGroups = core.l1d.groupMask;
    this.l1dStride = core.l1d.ways + 2;
    this.region = 0;
    this.derive();
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
    if (core.l1i.touch(base, frame)) {
      const origins = core.l1i.origins;
      const from = origins.length === 0 ? 0 : origins[base + 2]!;
      if (from === 0) counters[this.fetchRow] = counters[this.fetchRow]! + 1;
      else {
        origins[base + 2] = 0;
        const index = this.prefetchedRow + from - 1;
        counters[index] = counters[index]! + 1;
      }
    } else {
      const index = this.fetchRow + core.fetchMiss(frame, line, counters, this.prefetchRow);
      counters[index] = counters[index]! + 1;
    }
    core.fetchThread = this.thread;
    core.fetchLo = lo | 0;
    core.fetchHi = hi | 0;
    this.fetchFrame = frame;
    return 0;
  }

  load(lo: number, hi: number): number {
    const entries = this.dataEntries;
    const page = (lo >>> 12) | (hi << 20);
    const set = Math.imul(page & this.dataMask, this.dataWays | 0);
    const at = (set + this.dataOrder[set]!) << 2;
    const high = (hi >>> 12) & 0x1fff;
    const tag = entries[at + 1]!;
    let frame = entries[at + 2]!;
    if (entries[at] !== page || (tag !== (high | this.context) && tag !== (high | this.globalContext))
      || (entries[at + 3]! & this.denyLoad) !== 0 || (hi << this.canonicalShift) >> this.canonicalShift !== (hi | 0)) {
      const fault = this.translate(lo, hi, LOAD);
      if (fault !== 0) return fault;
      frame = this.frame;
    } else this.frame = frame;
    const line = (lo >>> 6) & 63;
    const counters = this.counters;
    if (this.l1dWords[Math.imul(line | ((frame & this.l1dGroups) << 6), this.l1dStride | 0) + 2] === frame) {
      counters[this.loadRow] = counters[this.loadRow]! + 1;
    } else this.core.data(frame, line, false, counters, this.loadRow);
    return 0;
  }

  store(lo: number, hi: number): number {
    const entries = this.dataEntries;
    const page = (lo >>> 12) | (hi << 20);
    const set = Math.imul(page & this.dataMask, this.dataWays | 0);
    const at = (set + this.dataOrder[set]!) << 2;
    const high = (hi >>> 12) & 0x1fff;
    const tag = entries[at + 1]!;
    let frame = entries[at + 2]!;
    if (entries[at] !== page || (tag !== (high | this.context) && tag !== (high | this.globalContext))
      || (entries[at + 3]! & this.denyStore) !== 0 || (hi << this.canonicalShift) >> this.canonicalShift !== (hi | 0)) {
      const fault = this.translate(lo, hi, STORE);
      if (fault !== 0) return fault;
      frame = this.frame;
    } else this.frame = frame;
    const line = (lo >>> 6) & 63;
    const counters = this.counters;
    const base = Math.imul(line | ((frame & this.l1dGroups) << 6), this.l1dStride | 0);
    // Modified already: nobody to ask.
    if (this.l1dWords[base + 2] === frame && (this.l1dWords[base]! & 1) !== 0) {
      counters[this.storeRow] = counters[this.storeRow]! + 1;
    } else this.core.data(frame, line, true, counters, this.storeRow);
    return 0;
  }

  loadPhysical(frame: number, line: number): void {
    this.core.data(frame | 0, line, false, this.counters, this.loadRow);
  }

  storePhysical(frame: number, line: number): void {
    this.core.data(frame | 0, line, true, this.counters, this.storeRow);
  }

  retire(count: number): void {
    this.counters[this.placeRow] = this.counters[this.placeRow]! + count;
  }

  get lastFrame(): number { return this.frame >>> 0; }

  get region(): number { return this.regionValue; }
  set region(region: number) {
    if (region >>> 0 !== region || region > 7) throw new RangeError(`region ${region} does not exist; 0 to 7`);
    const { sources, placesAt } = this.layout;
    const row = region * KINDS;
    this.regionValue = region;
    this.fetchRow = (row + KIND_FETCH) * sources;
    this.prefetchedRow = (row + KIND_PREFETCHED) * sources;
    this.loadRow = (row + KIND_LOAD) * sources;
    this.storeRow = (row + KIND_STORE) * sources;
    this.walkRow = (row + KIND_WALK) * sources;
    this.prefetchRow = (row + KIND_PREFETCH) * sources;
    this.placeRow = placesAt + region * PLACES;
  }

  get rootFrame(): number { return this.root >>> 0; }
  get pcid(): number { return (this.cr4Value & CR4_PCIDE) === 0 ? 0 : cr3Pcid(this.cr3Value); }
  get cr3(): bigint { return this.cr3Value; }

  writeCr3(value: bigint): void {
    this.cr3Value = BigInt.asUintN(63, value);
    this.derive();
    const keep = (this.cr4Value & CR4_PCIDE) !== 0 && value >> 63n !== 0n;
    if (!keep) this.flushContext(this.pcid);
  }

  get privilege(): 0 | 3 { return this.privilegeValue; }
  set privilege(value: 0 | 3) {
    this.privilegeValue = value;
    this.derive();
  }

  get alignmentCheck(): boolean { return this.accessAllowed; }
  set alignmentCheck(value: boolean) {
    this.accessAllowed = value;
    this.derive();
  }

  get cr0(): number { return this.cr0Value; }
  set cr0(value: number) {
    const now = (value & CR0_KEPT) >>> 0;
    const was = this.cr0Value;
    if (now >= CR0_PG && (this.eferValue & EFER_LME) === 0) {
      throw new MachineError("not-modelled", "cr0", "paging without EFER.LME is 32-bit or PAE paging, which is not modelled", "set CR4.PAE, then EFER.LME, then CR0.PG");
    }
    if (now >= CR0_PG && (this.cr4Value & CR4_PAE) === 0) this.refuse("cr0", "paging in long mode needs CR4.PAE", "set CR4.PAE before CR0.PG");
    this.cr0Value = now;
    this.eferValue = now >= CR0_PG ? this.eferValue | EFER_LMA : this.eferValue & ~EFER_LMA;
    if (was >= CR0_PG && now < CR0_PG) this.flushTranslations();
    this.derive();
  }

  get cr4(): number { return this.cr4Value; }
  set cr4(value: number) {
    const now = value & CR4_KEPT;
    const was = this.cr4Value;
    if (this.paging && ((now ^ was) & (CR4_LA57 | CR4_PAE)) !== 0) this.refuse("cr4", "LA57 and PAE cannot change while paging is on in long mode", "clear CR0.PG first");
    if ((now & ~was & CR4_PCIDE) !== 0 && cr3Pcid(this.cr3Value) !== 0) this.refuse("cr4", "PCIDE cannot be set while CR3 bits 11..0 are not zero", "load a CR3 with PCID 0 first");
    this.cr4Value = now;
    if (((now ^ was) & CR4_PGE) !== 0 || (was & ~now & CR4_PCIDE) !== 0) this.flushTranslations();
    else if ((now & ~was & CR4_SMEP) !== 0 || ((now ^ was) & CR4_PAE) !== 0) {
      this.flushContext(this.pcid);
      this.core.tlbs.flush(TAG_THREAD | TAG_GLOBAL, this.thread | TAG_GLOBAL);
    }
    this.derive();
  }

  get efer(): number { return this.eferValue; }
  set efer(value: number) {
    this.eferValue = (value & EFER_KEPT & ~EFER_LMA) | (this.eferValue & EFER_LMA);
    this.derive();
  }

  invlpg(address: bigint): void {
    this.translationChanges++;
    const lo = Number(BigInt.asIntN(32, address));
    const hi = Number(BigInt.asIntN(32, address >> 32n));
    const page = (lo >>> 12) | (hi << 20);
    const high = (hi >>> 12) & 0x1fff;
    this.dropPage(page, high);
    // Every paging-structure entry of the PCID, whatever its address.
    this.core.tlbs.structures.flush(TAG_THREAD | TAG_PCID, this.thread | (this.pcid << 13));
    this.core.fetchThread = NOBODY;
  }

  invpcid(type: 0 | 1 | 2 | 3, pcid: number, address: bigint): void {
    this.translationChanges++;
    const tlbs = this.core.tlbs;
    if (type <= 1 && (pcid < 0 || pcid > 4095 || (pcid !== 0 && (this.cr4Value & CR4_PCIDE) === 0))) {
      this.refuse("invpcid", `PCID ${pcid} does not exist`, "0 to 4095, and only 0 without CR4.PCIDE");
    }
    const context = this.thread | (pcid << 13);
    if (type === 0) {
      const lo = Number(BigInt.asIntN(32, address));
      const hi = Number(BigInt.asIntN(32, address >> 32n));
      if ((hi << this.canonicalShift) >> this.canonicalShift !== hi) this.refuse("invpcid", `address 0x${address.toString(16)} is not canonical`, "sign-extend it from the paging width");
      const page = (lo >>> 12) | (hi << 20);
      const high = (hi >>> 12) & 0x1fff;
      tlbs.drop(page, 0x1fff | TAG_THREAD | TAG_PCID | TAG_GLOBAL, high | context);
      tlbs.structures.drop(page, high | context);
    } else if (type === 1) this.flushContext(pcid);
    else if (type === 2) this.flushTranslations();
    else {
      tlbs.flush(TAG_THREAD | TAG_GLOBAL, this.thread);
      tlbs.structures.flush(TAG_THREAD, this.thread);
    }
    this.core.fetchThread = NOBODY;
  }

  flushTranslations(): void {
    this.translationChanges++;
    this.core.tlbs.flush(TAG_THREAD, this.thread);
    this.core.tlbs.structures.flush(TAG_THREAD, this.thread);
    this.core.fetchThread = NOBODY;
  }

  /** Non-global entries of one PCID of this thread. */
  private flushContext(pcid: number): void {
    const context = this.thread | (pcid << 13);
    this.core.tlbs.flush(TAG_THREAD | TAG_PCID | TAG_GLOBAL, context);
    this.core.tlbs.structures.flush(TAG_THREAD | TAG_PCID, context);
    this.core.fetchThread = NOBODY;
  }

  /** Entries of this PCID and global ones for one page, of every size that covers it. */
  private dropPage(page: number, high: number): void {
    const tlbs = this.core.tlbs;
    tlbs.drop(page, 0x1fff | TAG_THREAD | TAG_PCID | TAG_GLOBAL, high | this.thread | (this.pcid << 13));
    tlbs.drop(page, 0x1fff | TAG_THREAD | TAG_GLOBAL, high | this.thread | TAG_GLOBAL);
  }

  private refuse(field: string, reason: string, remedy: string): never {
    throw new MachineError("general-protection", field, reason, remedy);
  }

  /** Recomputes what the hot path reads from the registers. */
  private derive(): void {
    this.translationChanges++;
    const user = this.privilegeValue === 3;
    const cr4 = this.cr4Value;
    this.paging = this.cr0Value >= CR0_PG;
    this.levels = (cr4 & CR4_LA57) === 0 ? 4 : 5;
    this.canonicalShift = (cr4 & CR4_LA57) === 0 ? 16 : 7;
    this.root = cr3Frame(this.cr3Value) | 0;
    this.context = this.paging ? this.thread | (this.pcid << 13) : NEVER;
    this.globalContext = this.paging ? this.thread | TAG_GLOBAL : NEVER;
    const smap = !user && (cr4 & CR4_SMAP) !== 0 && !this.accessAllowed ? USER_PAGE : 0;
    this.denyLoad = user ? NOT_USER : smap;
    this.denyStore = NOT_DIRTY | (user ? NOT_USER | NOT_WRITABLE : smap | ((this.cr0Value & CR0_WP) !== 0 ? NOT_WRITABLE : 0));
    this.denyFetch = NO_EXECUTE | (user ? NOT_USER : (cr4 & CR4_SMEP) !== 0 ? USER_PAGE : 0);
    this.walker.setNoExecute((this.eferValue & EFER_NXE) !== 0);
    this.core.fetchThread = NOBODY;
  }

  /** Everything but the common case. @returns 0, then `frame` is set, or what the access function returns */
  private translate(lo: number, hi: number, access: number): number {
    if (!this.paging) {
      if ((hi & ~0xfff) !== 0) return NOT_CANONICAL;
      this.frame = (lo >>> 12) | (hi << 20);
      return 0;
    }
    if ((hi << this.canonicalShift) >> this.canonicalShift !== (hi | 0)) return NOT_CANONICAL;
    const tlbs = this.core.tlbs;
    const code = access === FETCH;
    const page = (lo >>> 12) | (hi << 20);
    const high = (hi >>> 12) & 0x1fff;
    const tag = high | this.context;
    const globalTag = high | this.globalContext;
    const deny = code ? this.denyFetch : access === STORE ? this.denyStore : this.denyLoad;
    const small = code ? tlbs.codeSmall : tlbs.dataSmall;
    const at = small.lookup(page, page, tag, globalTag);
    let denials: number;
    if (at !== MISS) {
      this.frame = small.entries[at + 2]!;
      denials = small.entries[at + 3]! & deny;
    } else if (tlbs.findLarge(code, page, tag, globalTag)) {
      this.frame = tlbs.hitFrame;
      denials = tlbs.hitDenials & deny;
    } else if (tlbs.findSecond(code, page, tag, globalTag)) {
      const index = this.placeRow + (code ? 1 : 2);
      this.counters[index] = this.counters[index]! + 1;
      this.frame = tlbs.hitFrame;
      denials = tlbs.hitDenials & deny;
    } else return this.walk(lo, hi, access, deny);
    if (denials === 0) return 0;
    if (denials !== NOT_DIRTY) return this.fault(page, high, access, FAULT_PROTECTION);
    // The entry allows the store but was made by a load: the walk sets D, then the entry is made anew.
    this.dropPage(page, high);
    return this.walk(lo, hi, access, deny);
  }

  private walk(lo: number, hi: number, access: number, deny: number): number {
    const code = access === FETCH;
    const page = (lo >>> 12) | (hi << 20);
    const high = (hi >>> 12) & 0x1fff;
    const counters = this.counters;
    const index = this.placeRow + (code ? 3 : 4);
    counters[index] = counters[index]! + 1;
    const walker = this.walker;
    const tag = high | this.context;
    const refused = walker.walk(lo, hi, this.root, this.levels, tag, access === STORE, deny, counters, this.walkRow);
    if (refused !== 0) return this.fault(page, high, access, refused & 0xff);
    const { level, frame } = walker;
    const global = walker.global && (this.cr4Value & CR4_PGE) !== 0;
    this.core.tlbs.insert(code, level, page, global ? high | this.globalContext : tag, frame, walker.denials);
    this.frame = level === 1 ? frame : level === 2 ? frame + (page & 0x1ff) : frame + (page & 0x3_ffff);
    return 0;
  }

  /** The error code; what is cached for the address goes, so that a corrected table is seen at the next try. */
  private fault(page: number, high: number, access: number, bits: number): number {
    this.dropPage(page, high);
    this.core.tlbs.structures.drop(page, high | this.context);
    this.core.fetchThread = NOBODY;
    const index = this.layout.eventsAt + FAULTS;
    this.counters[index] = this.counters[index]! + 1;
    const fetchBit = access === FETCH && ((this.cr4Value & CR4_SMEP) !== 0 || (this.eferValue & EFER_NXE) !== 0) ? FAULT_FETCH : 0;
    return FAULT | bits | (access === STORE ? FAULT_WRITE : 0) | (this.privilegeValue === 3 ? FAULT_USER : 0) | fetchBit;
  }
}
