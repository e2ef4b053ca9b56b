/**
 * Watches a kernel's table stores and table pages, and checks the address spaces whose top level they touched: F1, F3,
 * F5, F9, C7, and that each PGD of a space is alive and on its node (F6).
 *
 * A space is looked at after a step only when one of its PGDs was stored to; a table page when it is freed.
 */
import { type CpuId, entryHigh, entryLow, type Frame, NONE } from "@kreplica/hw-x86";
import type { BootParts } from "@kreplica/kernel";
import { type AddressSpace, LDT_SLOT, PGD_PAGES } from "@kreplica/mm-core";
import { CheckFailure } from "./check-failure.js";

/** What was just done at a point. */
export interface Point {
  /** A frame was given back. */
  readonly freed: boolean;
  /** CPU that acted on an interrupt; NONE where that is not what was done. */
  readonly acted: CpuId;
}

/** Counts stores and points of an operation, and lets something happen at one of them. */
export class TableWatch {
  /** Table stores since the step began. */
  stores = 0;
  /** Whether a table that belongs to the kernel, not to a process, was stored to. The reader resets it. */
  kernelStores = false;
  private readonly dirty = new Set<AddressSpace>();
  /** The one among them that was stored to last. */
  private lastDirty: AddressSpace | undefined;
  private readonly tables = new Set<Frame>();
  /** Space of each PGD page, user halves included. */
  private owners = new Map<Frame, AddressSpace>();
  /** Empty: what {@link owners} is made anew in. */
  private before = new Map<Frame, AddressSpace>();
  /** User slots of PGDs that ever held something: few, and all others are empty since the page was cleared. */
  private readonly slots = new Set<number>();
  /** The table stored to last, and what is known of it; NONE when it may have changed. */
  private last: Frame = NONE;
  private lastOwner: AddressSpace | undefined;
  private lastIsTable = false;
  /** Whether table pages came or went since `owners` was filled. */
  private stale = true;
  private probe: { readonly store: number; readonly run: () => void } | undefined;
  /** Points passed so far: see {@link pointAt}. */
  private points = 0;
  private pointProbe: { readonly point: number; readonly run: (what: Point) => void; readonly on: boolean } | undefined;

  constructor(private readonly parts: BootParts) {
    const { entries, allocator } = parts;
    const allocate = allocator.allocate.bind(allocator);
    const free = allocator.free.bind(allocator);
    allocator.allocate = (node, order, gfp) => {
      const frame = allocate(node, order, gfp);
      if (frame !== NONE && gfp.purpose === "page-table") {
        this.stale = true;
        this.last = NONE;
        for (let each = 0; each < 1 << order; each++) this.tables.add(frame + each);
      }
      return frame;
    };
    allocator.free = (frame, order) => {
      for (let each = frame; each < frame + (1 << order); each++) {
        if (!this.tables.delete(each)) continue;
        this.stale = true;
        this.last = NONE;
        this.notPointedTo(each);
      }
      free(frame, order);
      this.point(true);
    };
    this.watchFlushes();
    const stored = (table: Frame, index: number): void => {
      this.note(table);
      if (this.lastOwner && index < parts.layout.kernelBoundary) this.slots.add(index);
      this.stores++;
      const { probe } = this;
      if (probe && this.stores === probe.store) {
        this.probe = undefined;
        probe.run();
      }
      this.point();
    };
    entries.observe(stored, (table, first, end) => {
      // What comes in the middle of them has to come in the middle; user slots of PGDs are noted one by one.
      if (this.probe || this.pointProbe || first < parts.layout.kernelBoundary) return false;
      this.note(table);
      this.stores += end - first;
      this.points += end - first;
      return true;
    });
  }

  /** A table is stored to. */
  private note(table: Frame): void {
    if (table !== this.last) {
      this.last = table;
      this.lastOwner = this.owners.get(table);
      this.lastIsTable = this.tables.has(table);
    }
    const space = this.lastOwner;
    if (space) {
      if (space !== this.lastDirty) this.dirty.add((this.lastDirty = space));
    } else if (!this.lastIsTable) this.kernelStores = true;
  }

  /** A point before a flush is sent, and one whenever a CPU has acted on it: after the last, all have. */
  private watchFlushes(): void {
    const { cpus, switcher } = this.parts;
    const flushRanges = cpus.flushRanges.bind(cpus);
    const flushAll = cpus.flushAll.bind(cpus);
    const flush = switcher.flush.bind(switcher);
    const loadLdt = switcher.loadLdt.bind(switcher);
    cpus.flushRanges = (...given) => {
      this.point();
      flushRanges(...given);
    };
    cpus.flushAll = () => {
      this.point();
      flushAll();
    };
    switcher.flush = (...given) => {
      this.point();
      flush(...given);
    };
    switcher.loadLdt = (...given) => {
      this.point();
      loadLdt(...given);
    };
    cpus.observeActing((acted) => {
      this.point(false, acted);
    });
  }

  private point(freed = false, acted: CpuId = NONE): void {
    this.points++;
    const { pointProbe } = this;
    if (!pointProbe || this.points < pointProbe.point) return;
    if (!pointProbe.on) this.pointProbe = undefined;
    pointProbe.run({ freed, acted });
  }

  /** Starts to count the stores of a step. */
  begin(): void {
    this.stores = 0;
  }

  /** Runs something, once, right after the n-th table store of what follows. Until {@link stopProbe}. */
  probeAt(store: number, run: () => void): void {
    this.probe = { store: this.stores + store, run };
  }
  stopProbe(): void {
    this.probe = undefined;
    this.pointProbe = undefined;
  }

  /**
   * Runs something, once, at the n-th point of what follows: after a table store, before an interrupt by which CPUs are
   * told to flush or to load another LDT and after each of them has, after a frame was given back. Until {@link
   * stopProbe}.
   */
  pointAt(point: number, run: () => void): void {
    this.pointProbe = { point: this.points + point, run, on: false };
  }

  /** The same, at that point and at each that follows. */
  pointsFrom(point: number, run: (what: Point) => void): void {
    this.pointProbe = { point: this.points + point, run, on: true };
  }

  /** How many points some work has. */
  pointsOf(work: () => void): number {
    const before = this.points;
    work();
    return this.points - before;
  }

  /** Looks at a space after this step, whatever was stored. */
  touch(space: AddressSpace): void {
    this.dirty.add(space);
  }

  /** Whether a frame is a table page that was allocated and not freed. */
  isTable(frame: Frame): boolean {
    return this.tables.has(frame);
  }

  /** @throws CheckFailure */
  afterStep(): void {
    if (this.stale) this.noteOwners();
    for (const space of this.dirty) if (this.parts.spaces.all.has(space)) this.checkSpace(space);
    if (this.dirty.size === 0) return;
    this.dirty.clear();
    this.lastDirty = undefined;
  }

  private fail(invariant: string, detail: string): never {
    throw new CheckFailure(invariant, detail);
  }

  /** Remembers which pages are PGDs; spaces come, go, grow and shrink in few operations. */
  private noteOwners(): void {
    this.stale = false;
    let pages = 0;
    let changed = false;
    for (const space of this.parts.spaces.all) {
      for (const node of space.pgdNodes) {
        const pgd = space.pgd(node);
        if (!this.tables.has(pgd))
          this.fail("F6", `the PGD of node ${node} of a live process (space ${space.id}) was freed`);
        pages += PGD_PAGES;
        changed ||= this.owners.get(pgd) !== space;
      }
    }
    // Most tables that come and go are lower ones.
    if (!changed && pages === this.owners.size) return;
    const known = this.owners;
    const owners = this.before;
    this.last = NONE;
    for (const space of this.parts.spaces.all) {
      for (const node of space.pgdNodes) {
        const pgd = space.pgd(node);
        for (let page = pgd; page < pgd + PGD_PAGES; page++) {
          owners.set(page, space);
          if (!known.has(page)) this.noteSlots(page);
        }
      }
    }
    known.clear();
    this.before = known;
    this.owners = owners;
  }

  /** What was stored before anyone knew the page is a PGD. */
  private noteSlots(pgd: Frame): void {
    const { memory } = this.parts.entries;
    const last = this.parts.layout.kernelBoundary - 1;
    for (let slot = 0; (slot = memory.nextEntry(pgd, slot, last)) <= last; slot++)
      if (this.parts.entries.low(pgd, slot) & 1) this.slots.add(slot);
  }

  /** F5: when a table page is freed no PGD of any live space names it, in either half. */
  private notPointedTo(frame: Frame): void {
    const { entries, spaces } = this.parts;
    const low = entryLow(frame, 0);
    const high = entryHigh(frame, false);
    for (const pgd of this.owners.keys()) {
      for (const slot of this.slots) {
        const lo = entries.low(pgd, slot);
        if ((lo & 1) === 0 || (lo & 0xffff_f000) >>> 0 !== low || (entries.high(pgd, slot) & 0xfffff) !== high)
          continue;
        const space = this.owners.get(pgd)!;
        if (spaces.all.has(space))
          this.fail(
            "F5",
            `table frame ${frame} is freed while slot ${slot} of a PGD of space ${space.id} (frame ${pgd}) names it`,
          );
      }
    }
  }

  private checkSpace(space: AddressSpace): void {
    const { entries, layout, machine, view } = this.parts;
    const [first, ...others] = space.pgdNodes;
    const canonical = space.pgd(first!);
    for (const node of space.pgdNodes) {
      const pgd = space.pgd(node);
      if (machine.memory.nodeOf(pgd) !== node && view.holders.length > 1)
        this.fail("F6", `the PGD of node ${node} of space ${space.id} lies on node ${machine.memory.nodeOf(pgd)}`);
      if (!layout.pti) continue;
      for (let slot = 0; (slot = entries.memory.nextEntry(pgd, slot, 255)) < 256; slot++) {
        const lo = entries.low(pgd, slot);
        if (!(lo & 1)) continue;
        if (!(entries.high(pgd, slot) >>> 31))
          this.fail("C7", `slot ${slot} of node ${node}'s PGD of space ${space.id} is executable in the kernel's half`);
        if (entries.low(pgd + 1, slot) !== lo || entries.high(pgd + 1, slot) >>> 31)
          this.fail(
            "C7",
            `slot ${slot} of node ${node}'s PGD of space ${space.id} is missing or not executable in the user half`,
          );
      }
    }
    for (const node of others) {
      const pgd = space.pgd(node);
      for (let half = 0; half <= (layout.pti ? 1 : 0); half++) {
        const last = layout.kernelBoundary - 1;
        const next = (from: number): number => entries.memory.nextDifference(pgd + half, canonical + half, from, last);
        for (let slot = next(0); slot <= last; slot = next(slot + 1)) {
          const present = (entries.low(pgd + half, slot) & 1) !== 0;
          if (slot === LDT_SLOT)
            this.fail(
              "F9",
              `the LDT's slot of space ${space.id} is ${present ? "another" : "missing"} in the ${half ? "user" : "kernel"} half of node ${node}'s pair`,
            );
          this.fail(
            present && !(entries.low(canonical + half, slot) & 1) ? "F3" : "F1",
            `slot ${slot} of space ${space.id} differs between nodes ${first} and ${node} (${half ? "user" : "kernel"} half)`,
          );
        }
      }
    }
  }
}
