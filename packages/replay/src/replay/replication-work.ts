/**
 * What the booted kernel does, beyond what one with a single copy does, where the recorded kernel made, freed or
 * changed a PGD: the kernel's own functions run, and each access of theirs that a single copy would not make goes
 * through the CPU that was recorded there.
 *
 * Runs of entries are thinned to one access in each 64-byte line, as the recordings thin the REP instructions that do
 * this in Linux. Instructions, loads and stores beside the tables are the recorded visit's, once more for each further
 * PGD, their text warm: the series repeats the function's body, page allocator included. They go to the lines the visit
 * used itself; those of the other node's free lists and page descriptors, which the recording cannot know, are left
 * out, and so is the lock, which is taken once for all. It is an upper bound by what memory policies add to an
 * allocation without a node: some 25 loads a PGD. To each PGD made or given back belongs a store to its page
 * descriptor, which Linux links into pgd_list.
 */
import { physicalPageOf, type AddressRange, type Cpu } from "@kreplica/hw-x86/api";
import type { Frame, NodeId } from "@kreplica/hw-x86/api";
import { type Booted, DemandCopies } from "@kreplica/kernel";
import { type AddressSpace, CpuState, invariant, type ReplicaTraffic } from "@kreplica/mm-core";
import { type KernelVisit, VisitKind } from "./kernel-visit.js";
import { Op, type Program, Region } from "./program.js";

/** What was done since a replay began, in excess of a single copy's. */
export interface WorkDone {
  readonly pgdsMade: number;
  readonly pgdsFreed: number;
  /** Entries of 8 bytes stored, by the kernel's count; cleared tables aside. */
  readonly entryStores: number;
  readonly tablesCleared: number;
}

/** What a process' arrival on a node came to. */
export interface ArrivalWork {
  readonly work: WorkDone;
  /** A PGD made was given what the recorded kernel does beside it, instructions included: the run had one to repeat. */
  readonly repeated: boolean;
}

/** A node's copy of text comes, or goes. */
export type CopyChange = "comes" | "goes";

const LINES = 64;
/** Of a recorded top-level slot's address, by the levels of the recorded kernel. */
const SLOT_SHIFT = { 4: 39n, 5: 48n } as const;
/** With 5 levels: a slot no recorded process uses, so that a process that was there before keeps its P4D page. */
const ANCHOR = 128n << SLOT_SHIFT[4];

/** The process of a recorded PGD, and the slots that visits filled. */
interface ModelledProcess {
  readonly space: AddressSpace;
  readonly slots: Set<number>;
}

/** One kernel's PGDs for the recorded ones. */
export class ReplicationWork implements ReplicaTraffic {
  private readonly processes = new Map<number, ModelledProcess>();
  private readonly direct: Base;
  private readonly descriptors: Base;
  private cpu!: Cpu;
  private lastLoad = -1;
  private lastStore = -1;
  private made = 0;
  private freed = 0;
  private stored = 0;
  private cleared = 0;
  /** The last PGD that the recorded kernel made, and the program it is in. */
  private creation: { readonly visit: KernelVisit; readonly program: Program } | undefined;

  constructor(private readonly booted: Booted) {
    const { layout } = booted;
    this.direct = baseOf(layout.pageOffset);
    this.descriptors = baseOf(layout.vmemmapStart);
  }

  get done(): WorkDone {
    return { pgdsMade: this.made, pgdsFreed: this.freed, entryStores: this.stored, tablesCleared: this.cleared };
  }

  /** Does on a CPU what the kernel adds to a visit. @param program it belongs to */
  behind(visit: KernelVisit, cpu: Cpu, program: Program): void {
    const { entries } = this.booted;
    const before = entries.replicaStores;
    const { region } = cpu;
    this.cpu = cpu;
    this.lastLoad = this.lastStore = -1;
    cpu.region = Region.Replication;
    const further = this.run(visit, cpu.node);
    this.stored += entries.replicaStores - before;
    this.repeatFor(further, visit, program);
    cpu.region = region;
    if (visit.kind === VisitKind.Create) this.creation = { visit, program };
  }

  /**
   * Does on a CPU what the kernel does where a process that ran elsewhere comes to it: the PGD it has here already is
   * given back before, unseen, and made again as at a first switch.
   */
  arrive(space: AddressSpace, cpu: Cpu): ArrivalWork {
    const { entries, view } = this.booted;
    const before = this.done;
    const { region } = cpu;
    this.cpu = cpu;
    this.lastLoad = this.lastStore = -1;
    cpu.region = Region.Replication;
    this.quietly(() => space.shrink(view.nearest(cpu.node)));
    const had = new Set(space.pgdNodes);
    const stores = entries.replicaStores;
    this.heard(() => {
      space.enter(cpu.node);
    });
    const made = space.pgdNodes.filter((node) => !had.has(node));
    for (const node of made) this.descriptor(space.pgd(node));
    this.made += made.length;
    this.stored += entries.replicaStores - stores;
    const { creation } = this;
    if (creation) this.repeatFor(made.length, creation.visit, creation.program);
    cpu.region = region;
    return { work: workSince(before, this.done), repeated: creation !== undefined };
  }

  /**
   * Does on a CPU what it takes that its node's copy of text comes or goes, on demand or not: each line read where the
   * master has it and stored to the node's memory, the entries, the interrupts to all others. The instructions that
   * move lines are left out, as wide moves make them few; so is the allocator, which takes 2 MiB at a time.
   * @returns undefined where it does not come, or go; nothing is done then
   */
  copyText(change: CopyChange, cpu: Cpu): WorkDone | undefined {
    const { assembly, entries, view } = this.booted;
    const demand = assembly.get(DemandCopies);
    const state = assembly.get(CpuState);
    const before = this.done;
    const stores = entries.replicaStores;
    const { region } = cpu;
    const { current } = state;
    this.cpu = cpu;
    this.lastLoad = this.lastStore = -1;
    cpu.region = Region.Replication;
    state.current = cpu.id;
    const node = view.nearest(cpu.node);
    const done = this.heard(() =>
      change === "comes" ? demand.give(node, (from, to) => this.copyPage(from, to)) : demand.giveBack(node),
    );
    state.current = current;
    cpu.region = region;
    if (!done) return undefined;
    this.stored += entries.replicaStores - stores;
    return workSince(before, this.done);
  }

  private copyPage(from: Frame, to: Frame): void {
    for (let line = 0; line < LINES; line++) {
      this.issue(this.direct, from, line, false);
      this.issue(this.direct, to, line, true);
    }
  }

  private repeatFor(further: number, visit: KernelVisit, program: Program): void {
    if (further > 0) this.cpu.retire(further * visit.instructions);
    for (let each = 0; each < further; each++) this.repeat(visit, program);
  }

  /** @returns PGDs there are beyond the one a single copy has */
  private run({ kind, pgd, slot }: KernelVisit, node: NodeId): number {
    const shift = SLOT_SHIFT[this.booted.recorded.guest.levels];
    const start = BigInt(slot) << shift;
    const end = start + (1n << shift);
    switch (kind) {
      case VisitKind.Create: {
        this.quietly(() => this.drop(pgd));
        const { space } = this.heard(() => this.create(pgd, node));
        const further = this.furtherPgds(space, node);
        for (const frame of further) this.descriptor(frame);
        this.made += further.length;
        return further.length;
      }
      case VisitKind.Free: {
        const further = this.furtherPgds(this.known(pgd, node).space, node);
        this.heard(() => this.drop(pgd));
        for (const frame of further) this.descriptor(frame);
        this.freed += further.length;
        return further.length;
      }
      case VisitKind.Set: {
        const { space, slots } = this.known(pgd, node);
        if (slots.has(slot)) this.quietly(() => this.trim(space, { start, end }));
        this.heard(() => this.grow(space, start, node));
        slots.add(slot);
        return space.pgdNodes.length - 1;
      }
      case VisitKind.Clear: {
        const { space, slots } = this.known(pgd, node);
        if (!slots.delete(slot)) this.quietly(() => this.grow(space, start, node));
        this.heard(() => this.trim(space, { start, end }));
        return space.pgdNodes.length - 1;
      }
    }
  }

  private heard<T>(work: () => T): T {
    this.booted.entries.listen(this);
    try {
      return work();
    } finally {
      this.booted.entries.listen(undefined);
    }
  }

  /** What brings the model's process to where the recorded one was: no CPU did it in the recording. */
  private quietly(work: () => unknown): void {
    const { entries } = this.booted;
    const before = entries.replicaStores;
    work();
    this.stored -= entries.replicaStores - before;
  }

  private create(pgd: number, node: NodeId): ModelledProcess {
    const space = this.booted.spaces.create(node);
    invariant(space !== undefined, "no memory for a PGD of a replayed process");
    const made = { space, slots: new Set<number>() };
    this.processes.set(pgd, made);
    return made;
  }

  /** The process of a recorded PGD; one that was there before the recording began is made now. */
  private known(pgd: number, node: NodeId): ModelledProcess {
    const found = this.processes.get(pgd);
    if (found) return found;
    this.quietly(() => {
      const { space } = this.create(pgd, node);
      if (this.booted.layout.levels === 5) this.grow(space, ANCHOR, node);
    });
    return this.processes.get(pgd)!;
  }

  private drop(pgd: number): void {
    this.processes.get(pgd)?.space.free();
    this.processes.delete(pgd);
  }

  private grow(space: AddressSpace, address: bigint, node: NodeId): void {
    invariant(space.grow(address, node), "no memory for a table of a replayed process");
  }

  private trim(space: AddressSpace, range: AddressRange): void {
    for (const table of space.trim(range)) this.booted.allocator.free(table, 0);
  }

  private furtherPgds(space: AddressSpace, node: NodeId): Frame[] {
    const own = space.pgd(node);
    return space.pgdNodes.map((each) => space.pgd(each)).filter((frame) => frame !== own);
  }

  /** The body of a visit once more. */
  private repeat({ accesses }: KernelVisit, { pageLo, pageHi }: Program): void {
    if (!accesses) return;
    let last = -1;
    for (const word of accesses) {
      // As in a program: the line just accessed is not accessed again, but by a first store.
      if ((word ^ last) >>> 2 === 0 && ((word & 3) === Op.Load || word === last)) continue;
      last = word;
      const page = word >>> 8;
      this.reach(pageLo[page]! | ((word & 0xfc) << 4), pageHi[page]!, (word & 3) === Op.Store);
    }
  }

  clear(table: Frame): void {
    this.cleared++;
    for (let line = 0; line < LINES; line++) this.issue(this.direct, table, line, true);
  }

  load(table: Frame, index: number): void {
    const line = table * LINES + (index >>> 3);
    if (line === this.lastLoad) return;
    this.lastLoad = line;
    this.issue(this.direct, physicalPageOf(table), index >>> 3, false);
  }

  store(table: Frame, index: number): void {
    const line = table * LINES + (index >>> 3);
    if (line === this.lastStore) return;
    this.lastStore = line;
    this.issue(this.direct, physicalPageOf(table), index >>> 3, true);
  }

  private descriptor(frame: Frame): void {
    const page = physicalPageOf(frame);
    this.issue(this.descriptors, Math.floor(page / LINES), page % LINES, true);
  }

  /** @param page counted from the base, below 2^40 */
  private issue(base: Base, page: number, line: number, store: boolean): void {
    const sum = base.low + page;
    const lo = (sum << 12) | (line << 6);
    const hi = (base.high + Math.floor(sum / 0x10_0000)) | 0;
    this.reach(lo, hi, store);
  }

  private reach(lo: number, hi: number, store: boolean): void {
    const fault = store ? this.cpu.store(lo, hi) : this.cpu.load(lo, hi);
    if (fault !== 0)
      invariant(
        false,
        `the kernel's own ${store ? "store to" : "load from"} 0x${(hi >>> 0).toString(16)}${(lo >>> 0).toString(16).padStart(8, "0")} faulted, error code 0x${(fault & 0x7fff_ffff).toString(16)}`,
      );
  }
}

/** Where an area begins: low 20 bits of its page number, and the upper half of its address. */
interface Base {
  readonly low: number;
  readonly high: number;
}
const baseOf = (address: bigint): Base => ({ low: Number((address >> 12n) & 0xf_ffffn), high: Number(address >> 32n) });

/** What was done between two moments. */
export const workSince = (before: WorkDone, after: WorkDone): WorkDone => ({
  pgdsMade: after.pgdsMade - before.pgdsMade,
  pgdsFreed: after.pgdsFreed - before.pgdsFreed,
  entryStores: after.entryStores - before.entryStores,
  tablesCleared: after.tablesCleared - before.tablesCleared,
});
