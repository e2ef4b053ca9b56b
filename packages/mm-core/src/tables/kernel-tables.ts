/**
 * Mappings of the kernel half, changed on every root at once.
 *
 * All roots are walked in lockstep. Where they still share a table, one store serves all; where they differ (the
 * replicated window) each gets its own. A lower table made on the way is one for all when the address is shared, one
 * for each when it is private, on the node it serves. Every store is kept in a journal until the call succeeds, so that
 * a refused table page changes nothing.
 */
import { inject, injectable } from "@kreplica/di";
import {
  Bit,
  endOf,
  entryAddress,
  entryBytes,
  entryHigh,
  entryLow,
  entryPages,
  type Frame,
  frameOf,
  hex,
  isLeaf,
  isPresent,
  LARGE,
  leafFrame,
  type NodeId,
  NONE,
  PAGE,
  overlap,
  type PageRange,
  tableIndex,
  walkTables,
} from "@kreplica/hw-x86/api";
import { CpuState, SINGLE_PAGE_CEILING } from "./cpu-state-api.js";
import { findEmptyTables, rootsOfBothHalves } from "./empty-tables.js";
import { invariant, MmError } from "../errors.js";
import { KernelLayout } from "../image/kernel-layout-api.js";
import type { KernelTables, Mapping, Protection, TableEditor } from "./kernel-tables-api.js";
import { PageAllocator } from "../memory/page-allocator-api.js";
import { ReplicaView, type TableRoot } from "./replica-view-api.js";
import { KernelOptions } from "../options-api.js";
import { directAddress } from "../image/layout.js";
import {
  changedHigh,
  changedLow,
  invertHigh,
  invertLow,
  KERNEL_TABLE_BITS,
  leafEntry,
  mappingOf,
  renamedHigh,
  TABLE_BITS,
} from "./protection.js";
import { writeSplit } from "./split-leaf.js";
import { TableMemory } from "./table-memory-api.js";
import { UnflushedRuns } from "./unflushed-runs.js";
import { walk } from "./walk.js";

/** A table reached in lockstep, and the node of the root whose way led there first. */
interface Place {
  readonly table: Frame;
  readonly node: NodeId;
}
interface Undo {
  readonly table: Frame;
  readonly index: number;
  readonly lo: number;
  readonly hi: number;
  /** It was stored for a copy, in a table that may be all copies'. */
  readonly forCopy: boolean;
}

/** Mappings of the kernel half, changed on every root at once; a refused table page changes nothing. */
@injectable()
export class LockstepTables implements KernelTables {
  /**
   * Pages whose leaves were not global when they were changed, not flushed since: CPUs may hold them under every PCID.
   */
  private readonly owed: PageRange[] = [];
  private readonly lazily = new UnflushedRuns();

  constructor(
    @inject(TableMemory) private readonly entries: TableMemory,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(CpuState) private readonly cpus: CpuState,
    @inject(KernelOptions) private readonly options: KernelOptions,
  ) {}

  root(node: NodeId): Frame {
    return this.view.kernelRoot(node);
  }

  lookup(node: NodeId, address: bigint): Mapping | undefined {
    const { memory, encryption } = this.entries;
    const end = walk(memory, this.view.kernelRoot(node), this.layout.levels, address);
    if (!end.present) return undefined;
    const mapping = mappingOf(end.lo, end.hi, end.level as 1 | 2 | 3);
    return (end.hi & encryption) === encryption ? mapping : { ...mapping, encrypted: false };
  }

  get stores(): { readonly total: number; readonly replica: number } {
    return { total: this.entries.stores, replica: this.entries.replicaStores };
  }

  edit<T>(change: (editor: TableEditor) => T): T {
    const editor = new Editor(this.entries, this.allocator, this.layout, this.view, this.cpus);
    const result = change(editor);
    this.note(editor);
    this.flushRanges(editor.touched);
    return result;
  }

  editLazily<T>(change: (editor: TableEditor) => T): T {
    const editor = new Editor(this.entries, this.allocator, this.layout, this.view, this.cpus);
    const result = change(editor);
    this.note(editor);
    this.lazily.add(editor.touched);
    return result;
  }

  get unflushed(): readonly PageRange[] {
    return this.lazily.runs;
  }

  /** Without PCIDs what is loaded is all there is; under KPTI everything goes in any case. */
  private note(editor: Editor): void {
    if (this.options.pcid && !this.layout.pti) this.owed.push(...editor.notGlobal);
  }

  flush(range: PageRange): void {
    this.flushRanges([range]);
  }

  flushRanges(ranges: readonly PageRange[]): void {
    const everyPcid = ranges.some((range) => this.owed.some((other) => overlap(range, other)));
    this.cpus.flushRanges(ranges, everyPcid);
    const total = ranges.reduce((sum, { pages }) => sum + pages, 0);
    const all = everyPcid || total > SINGLE_PAGE_CEILING;
    if (all) this.owed.length = 0;
    if (all || (this.layout.pti && total > 0)) this.lazily.clear();
    else this.lazily.remove(ranges);
  }

  makeRoomForLarge(range: PageRange): boolean {
    const { start, pages } = range;
    invariant(
      (start & (LARGE - 1n)) === 0n && pages % 512 === 0,
      `${hex(start)} and ${pages} pages: 2 MiB leaves need whole 2 MiB`,
    );
    const found = findEmptyTables(
      this.entries,
      this.allocator,
      rootsOfBothHalves(this.view.roots, this.layout.pti),
      this.layout.levels,
      range,
    );
    if (!found) return false;
    for (const { table, index } of found.entries) this.entries.write(table, index, 0, 0);
    // A paging-structure cache may still lead to the old table, whatever frame it becomes: flush before it is given
    // back. Everything goes: INVLPG empties these caches for the current PCID alone, and kernel addresses are walked
    // under every one.
    if (found.tables.size > 0) {
      this.cpus.flushAll();
      this.owed.length = 0;
      this.lazily.clear();
    }
    for (const table of found.tables) {
      this.entries.disown(table);
      this.allocator.free(table, 0);
    }
    return true;
  }

  get flushes(): number {
    return this.cpus.shootdowns;
  }
}

class Editor implements TableEditor {
  /** Live mappings that were changed, to be flushed. // out */
  readonly touched: PageRange[] = [];
  /** Those of them whose leaf was not global. // out */
  readonly notGlobal: PageRange[] = [];
  private journal: Undo[] = [];
  private made: Frame[] = [];
  private depth = 0;
  /** What is stored now is what shared tables say of a copy's memory. */
  private forCopy = false;
  /**
   * Where changes of one page got to, by 2 MiB: aliases of copies are a page each, thousands below a few entries, and
   * each would look at the roots of all nodes again. Forgotten where a table is made, or roots are others: there the
   * way may be another.
   */
  private readonly ends = new Map<number, { readonly places: Place[]; readonly level: number }>();
  /** The view's roots as places: made again where it has other roots. */
  private top: { readonly of: readonly TableRoot[]; readonly places: Place[] } = { of: [], places: [] };

  constructor(
    private readonly entries: TableMemory,
    private readonly allocator: PageAllocator,
    private readonly layout: KernelLayout,
    private readonly view: ReplicaView,
    private readonly cpus: CpuState,
  ) {}

  map(address: bigint, mapping: Mapping): boolean {
    return this.mapEach(address, mapping, () => mapping.frame);
  }

  mapPerNode(address: bigint, mapping: Omit<Mapping, "frame">, frames: (node: NodeId) => Frame): boolean {
    return this.mapEach(address, mapping, frames);
  }

  /** Tables of the top level. */
  private roots(): Place[] {
    const { roots } = this.view;
    if (this.top.of !== roots) {
      this.top = { of: roots, places: distinct(roots.map(({ root, node }) => ({ table: root, node }))) };
      this.ends.clear();
    }
    return this.top.places;
  }

  private mapEach(address: bigint, mapping: Omit<Mapping, "frame">, frames: (node: NodeId) => Frame): boolean {
    if (address % entryBytes(mapping.level) !== 0n)
      throw new MmError("misaligned", address, `not on the size of a level-${mapping.level} leaf`);
    return this.atomically(() => {
      const places = this.descend(address, mapping.level, true);
      if (!places) return false;
      const index = tableIndex(address, mapping.level);
      for (const { table } of places) {
        if (isPresent(this.entries.low(table, index)))
          throw new MmError("already-mapped", address, "unmap it first, or protect it");
      }
      for (const { table, node } of places) {
        const { lo, hi } = leafEntry({ ...mapping, frame: frames(node) });
        this.store(table, index, lo, hi);
      }
      return true;
    });
  }

  unmap(address: bigint, level: 1 | 2 | 3): void {
    const places = this.descend(address, level, false) ?? [];
    const index = tableIndex(address, level);
    const pages = entryPages(level);
    for (const { table } of places) {
      const lo = this.entries.low(table, index);
      if (!isPresent(lo)) continue;
      this.note(lo, { start: address, pages });
      this.store(table, index, 0, 0);
    }
    if (this.depth === 0) this.journal = [];
    this.touched.push({ start: address, pages });
  }

  /** Remembers a leaf that CPUs may hold under more PCIDs than one. @param lo as it was */
  private note(lo: number, range: PageRange): void {
    if (!isPresent(lo) || (lo & Bit.Global) !== 0) return;
    const last = this.notGlobal.length - 1;
    const before = this.notGlobal[last];
    if (before?.start === range.start && before.pages === range.pages) return;
    if (before && endOf(before) === range.start)
      this.notGlobal[last] = { start: before.start, pages: before.pages + range.pages };
    else this.notGlobal.push(range);
  }

  protect(range: PageRange, change: Partial<Protection>, alias = false): boolean {
    return this.protectFor(range, change, alias ? aliasChange(change) : undefined);
  }

  private protectFor(range: PageRange, change: Partial<Protection>, alias: Partial<Protection> | undefined): boolean {
    const next: LeafChange = (lo, hi, level) => {
      const absent = !isPresent(lo);
      // What was made absent still has its bits, and shows them when it comes back; only a hole is passed over.
      if (lo === 0 && hi === 0) return undefined;
      const rawLo = absent ? invertLow(lo) : lo;
      const rawHi = absent ? invertHigh(hi) : hi;
      const nextLo = changedLow(rawLo, level, change);
      const nextHi = changedHigh(rawHi, change);
      return isPresent(nextLo) ? { lo: nextLo, hi: nextHi } : { lo: invertLow(nextLo), hi: invertHigh(nextHi) };
    };
    return this.atomically(() => this.change({ range, next, alias }));
  }

  repoint(range: PageRange, frames: (page: number, node: NodeId) => Frame | undefined): boolean {
    const next: LeafChange = (lo, hi, level, page, node) => {
      const frame = frames(page, node);
      if (frame === undefined || !isPresent(lo)) return undefined;
      // A leaf keeps its bits 0 to 11, and PAT where the level has it in bit 12.
      const bits = (lo & 0xfff) | (level > 1 ? lo & Bit.PatLarge : 0);
      return { lo: entryLow(frame, bits), hi: renamedHigh(frame, hi) };
    };
    return this.atomically(() => this.change({ range, next, alias: undefined }));
  }

  together(change: () => boolean): boolean {
    return this.atomically(change);
  }

  /** Runs a change of which nothing stays when it is refused or throws. */
  private atomically(change: () => boolean): boolean {
    const outer = this.depth++ > 0;
    const flushes = this.touched.length;
    let done = false;
    try {
      done = change();
      return done;
    } finally {
      this.depth--;
      if (!outer) {
        if (!done && this.journal.length + this.made.length > 0) this.rollBack();
        if (!done) this.touched.length = flushes;
        this.journal = [];
        this.made = [];
      }
    }
  }

  /**
   * Linux leaves a split where it is when a later one is refused. Here nothing stays, and meanwhile any CPU may have
   * walked a new table, or taken up a right that it is not to have: all of that goes before the tables do.
   */
  private rollBack(): void {
    this.ends.clear();
    for (const { table, index, lo, hi, forCopy } of this.journal.reverse()) {
      const restore = (): void => this.entries.write(table, index, lo, hi);
      if (forCopy) this.entries.forCopy(restore);
      else restore();
    }
    this.cpus.flushAll();
    for (const frame of this.made) {
      this.entries.disown(frame);
      this.allocator.free(frame, 0);
    }
  }

  private store(table: Frame, index: number, lo: number, hi: number): void {
    this.journal.push({
      table,
      index,
      lo: this.entries.low(table, index),
      hi: this.entries.high(table, index),
      forCopy: this.forCopy,
    });
    this.entries.write(table, index, lo, hi);
  }

  /**
   * @param above the table that is to lead there
   * @param exact the table serves one node alone and must lie there; it is a copy's if that above is
   */
  private newTable(node: NodeId, above: Frame, exact: boolean): Frame {
    const frame = this.allocator.allocate(node, 0, {
      purpose: "page-table",
      zero: true,
      thisNode: exact,
    });
    if (frame === NONE) return NONE;
    this.made.push(frame);
    this.ends.clear();
    if (exact && this.entries.isCopy(above)) this.entries.adopt(frame);
    return frame;
  }

  /**
   * The distinct tables of a level on the way to an address.
   * @returns undefined at a hole that was not to be filled, or refused
   */
  private descend(address: bigint, wanted: number, make: boolean): Place[] | undefined {
    let found: Place[] | undefined;
    walkTables<Place[]>(this.layout.levels, { start: address, pages: 1 }, this.roots(), (places, level, index) => {
      if (level === wanted) {
        found = places;
        return false;
      }
      let shared: Frame = NONE;
      const next: Place[] = [];
      for (const { table, node } of places) {
        const lo = this.entries.low(table, index);
        if (isPresent(lo)) {
          if (isLeaf(lo, level)) {
            if (make) throw new MmError("already-mapped", address, `a level-${level} leaf covers it`);
            return false;
          }
          const lower = frameOf(lo, this.entries.high(table, index));
          next.push({ table: lower, node });
          if (shared === NONE) shared = lower;
          continue;
        }
        if (!make) continue;
        const one = !this.view.isPrivate(address);
        let lower = one ? shared : NONE;
        if (lower === NONE) lower = this.newTable(node, table, !one);
        if (lower === NONE) return false;
        if (one) shared = lower;
        this.store(table, index, entryLow(lower, TABLE_BITS), entryHigh(lower, false));
        next.push({ table: lower, node });
      }
      return next.length > 0 && distinct(next);
    });
    return found;
  }

  /** Changes every leaf of a range, splitting those it covers in part. */
  private change(work: LeafWork): boolean {
    const { range } = work;
    if ((range.start & (PAGE - 1n)) !== 0n) throw new MmError("misaligned", range.start, "not on a 4 KiB boundary");
    const top = this.roots();
    const region = range.pages === 1 ? Number(range.start / LARGE) : NO_REGION;
    const known = this.ends.get(region);
    const done = known
      ? this.changeFrom(known.places, known.level, work)
      : walkTables<Place[]>(this.layout.levels, range, top, (places, level, index, base) => {
          const below = this.changeEntry(places, level, index, entryAddress(base, level, index), work);
          if (below === undefined && level <= 2 && region !== NO_REGION) this.ends.set(region, { places, level });
          return below;
        });
    if (done) this.touched.push({ start: range.start, pages: range.pages });
    return done;
  }

  /** Changes one page's leaf in these tables, or in those below that its entry leads to. */
  private changeFrom(places: Place[], level: number, work: LeafWork): boolean {
    const { start } = work.range;
    const below = this.changeEntry(places, level, tableIndex(start, level), start & -entryBytes(level), work);
    return Array.isArray(below) && level > 1 ? this.changeFrom(below, level - 1, work) : below !== false;
  }

  /**
   * Changes what one entry of each of these tables says, if it is a leaf.
   * @returns tables it leads to, or leads to now; `false` where one was refused
   */
  private changeEntry(
    places: Place[],
    level: number,
    index: number,
    address: bigint,
    work: LeafWork,
  ): Place[] | undefined | false {
    const { range, next, alias } = work;
    const { start } = range;
    const end = endOf(range);
    const following = address + entryBytes(level);
    const whole = address >= start && following <= end;
    const first = address > start ? address : start;
    // The same for every place, and a bigint each.
    const page = Number((first - start) >> 12n);
    const into = Number((first - address) >> 12n);
    const covered = Number(((following < end ? following : end) - first) >> 12n);
    const below: Place[] = [];
    for (const { table, node } of places) {
      const lo = this.entries.low(table, index);
      const hi = this.entries.high(table, index);
      if (isPresent(lo) && !isLeaf(lo, level)) {
        const lower = frameOf(lo, hi);
        // What all share every root leads to: with many copies one place stands for all at once.
        if (below.length === 0 || below[below.length - 1]!.table !== lower) below.push({ table: lower, node });
        continue;
      }
      // A large leaf that was made absent keeps PS, and can be made present again.
      if (level > 3 || (!isPresent(lo) && !isLeaf(lo, level))) continue;
      const changed = next(lo, hi, level, page, node);
      if (!changed) continue;
      const same = changed.lo === lo && changed.hi === hi;
      if (!same) this.note(lo, { start: first, pages: covered });
      if (whole || same) {
        if (!same) this.store(table, index, changed.lo, changed.hi);
        // The alias follows even where the leaf itself said so already: they may differ.
        const frame = isPresent(lo) ? leafFrame(lo, hi, level) : leafFrame(invertLow(lo), invertHigh(hi), level);
        const aliased = frame + into;
        if (alias && !this.changeAlias(aliased, covered, alias, this.entries.isCopy(table))) return false;
        continue;
      }
      const lower = this.split(table, index, lo, hi, level, node, this.view.isPrivate(first));
      if (lower === NONE) return false;
      below.push({ table: lower, node });
    }
    return below.length > 0 ? distinct(below) : undefined;
  }

  /** Replaces a leaf by a table of smaller leaves that say the same. @returns the table, NONE when refused */
  private split(
    table: Frame,
    index: number,
    lo: number,
    hi: number,
    level: number,
    node: NodeId,
    exact: boolean,
  ): Frame {
    // What all share lies, like the direct map's first tables, where the memory lies that it maps: a change over one
    // node's copies takes nothing from another node.
    const first = isPresent(lo) ? leafFrame(lo, hi, level) : leafFrame(invertLow(lo), invertHigh(hi), level);
    const home = exact ? NONE : this.entries.memory.nodeOf(first);
    const lower = this.newTable(home === NONE ? node : home, table, exact);
    if (lower === NONE) return NONE;
    writeSplit(this.entries, lower, lo, hi, level);
    this.store(table, index, entryLow(lower, KERNEL_TABLE_BITS), entryHigh(lower, false));
    return lower;
  }

  /**
   * Makes the direct map's view of frames follow. The direct map is shared, so this is done once for each run of
   * frames.
   * @param forCopy the leaf was in a copy's table: so is the memory it names, and a single copy would not do this
   */
  private changeAlias(first: Frame, frames: number, change: Partial<Protection>, forCopy: boolean): boolean {
    const address = directAddress(this.layout, first);
    if (this.entries.memory.nodeOf(first) === NONE) return true;
    const before = this.touched.length;
    const protect = (): boolean => this.protectFor({ start: address, pages: frames }, change, undefined);
    const outer = this.forCopy;
    this.forCopy ||= forCopy;
    const done = this.forCopy ? this.entries.forCopy(protect) : protect();
    this.forCopy = outer;
    invariant(!done || this.touched.length > before, "an alias was changed and not flushed");
    return done;
  }
}

/** New halves of a leaf, undefined to leave it. @param page counts from the start of the range */
type LeafChange = (
  lo: number,
  hi: number,
  level: number,
  page: number,
  node: NodeId,
) => { readonly lo: number; readonly hi: number } | undefined;

/** Stands for the 2 MiB of a change of more than one page. */
const NO_REGION = -1;

/** A change of all leaves of a range. */
interface LeafWork {
  readonly range: PageRange;
  readonly next: LeafChange;
  /** What the direct map's view of the frames follows in. */
  readonly alias: Partial<Protection> | undefined;
}

/**
 * NX has no alias: the direct map is never executable. G has one: recorded tables show it on the view of text that KPTI
 * made global.
 */
function aliasChange(change: Partial<Protection>): Partial<Protection> | undefined {
  const { writable, global, present, cache, encrypted } = change;
  const alias: Partial<Protection> = {
    ...(writable === undefined ? {} : { writable }),
    ...(global === undefined ? {} : { global }),
    ...(present === undefined ? {} : { present }),
    ...(cache === undefined ? {} : { cache }),
    ...(encrypted === undefined ? {} : { encrypted }),
  };
  return Object.keys(alias).length === 0 ? undefined : alias;
}

function distinct(places: Place[]): Place[] {
  if (places.length < 2) return places;
  const seen = new Set<Frame>();
  return places.filter(({ table }) => !seen.has(table) && seen.add(table));
}
