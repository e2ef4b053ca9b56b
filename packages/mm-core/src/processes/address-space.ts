/**
 * A user address space: one PGD, a pair of pages, for each holder, everything below shared.
 *
 * Only a top-level slot is written more than once: into every PGD there is, into its user half too, and marked not
 * executable in the kernel's half. All lower tables are reached through the canonical PGD, the first one made. Which
 * holders get a PGD at once and which only when a CPU of theirs first runs the space is the plan's decision.
 */
import { inject, injectable } from "@kreplica/di";
import {
  type AddressRange,
  type CpuId,
  entryHigh,
  entryLow,
  entryPages,
  type Frame,
  frameOf,
  hex,
  isLeaf,
  isPresent,
  isWritable,
  leafFrame,
  Machine,
  type NodeId,
  NONE,
  PAGE,
  pagesBetween,
  slotRange,
  tableIndex,
  walkRange,
} from "@kreplica/hw-x86/api";
import {
  type AddressSpace,
  type AddressSpaces,
  type Leaf,
  LDT_PAGES,
  LDT_SLOT,
  ldtAddress,
  type LdtPlace,
  PGD_ORDER,
  PGD_PAGES,
  PgdPlan,
} from "./address-space-api.js";
import { BuildContext } from "../boot/build-context-api.js";
import { CpuState } from "../tables/cpu-state-api.js";
import { invariant } from "../errors.js";
import type { Mapping } from "../tables/kernel-tables-api.js";
import { ReplicaView } from "../tables/replica-view-api.js";
import { changedLow, invertHigh, invertLow, leafEntry, mappingOf, TABLE_BITS } from "../tables/protection.js";
import { writeSplit } from "../tables/split-leaf.js";
import { walk, type WalkEnd } from "../tables/walk.js";

/** A page of an LDT: where user mode's entry code finds it, and what nobody may write there. */
const LDT_PAGE = {
  level: 1,
  present: true,
  writable: false,
  executable: false,
  global: false,
  user: false,
  cache: "wb",
} as const;

/** User address spaces with a PGD for each holder and everything below shared. */
@injectable()
export class PerHolderSpaces implements AddressSpaces {
  readonly all = new Set<AddressSpace>();
  private next = 1;
  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(BuildContext) private readonly context: BuildContext,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(PgdPlan) private readonly plan: PgdPlan,
    @inject(CpuState) private readonly cpus: CpuState,
  ) {}

  create(node: NodeId = this.machine.nodeOfCpu(this.cpus.current)): AddressSpace | undefined {
    const pgds = new Map<NodeId, Frame>();
    const creator = this.view.nearest(node);
    const initial = this.plan.initial(this.view.holders, creator);
    const space = new HolderSpace(
      this.next,
      pgds,
      initial.includes(creator) ? creator : initial[0]!,
      node,
      this.machine,
      this.context,
      this.view,
      this.plan,
      (gone) => this.all.delete(gone),
    );
    for (const holder of initial) {
      if (space.add(holder)) continue;
      // Only what this call made goes back.
      for (const pgd of pgds.values()) freePgd(this.context, pgd);
      return undefined;
    }
    this.next++;
    this.all.add(space);
    return space;
  }
}

/** Gives a PGD back: whoever gets its pages next may be no copy. */
function freePgd({ entries, allocator }: BuildContext, pgd: Frame): void {
  for (let half = 0; half < PGD_PAGES; half++) entries.disown(pgd + half);
  allocator.free(pgd, PGD_ORDER);
}

class FoundLeaf implements Leaf {
  constructor(
    readonly page: number,
    readonly level: 1 | 2 | 3,
    private readonly lo: number,
    private readonly hi: number,
  ) {}
  get frame(): Frame {
    return isPresent(this.lo)
      ? leafFrame(this.lo, this.hi, this.level)
      : leafFrame(invertLow(this.lo), invertHigh(this.hi), this.level);
  }
  get writable(): boolean {
    return isWritable(this.lo);
  }
  get mapping(): Mapping {
    return mappingOf(this.lo, this.hi, this.level);
  }
}

class HolderSpace implements AddressSpace {
  /** Asked for more often than PGDs come and go: another list each time they do. */
  pgdNodes: readonly NodeId[] = [];
  private alive = true;
  private holds = 0;

  constructor(
    readonly id: number,
    private readonly pgds: Map<NodeId, Frame>,
    /** Whose PGD a single copy would have made: where the space was asked for. The others are replicas. */
    private readonly home: NodeId,
    /** Where it was asked for, which need not hold a copy. */
    private readonly asked: NodeId,
    private readonly machine: Machine,
    private readonly context: BuildContext,
    private readonly view: ReplicaView,
    private readonly plan: PgdPlan,
    private readonly gone: (space: HolderSpace) => void,
  ) {}

  private get canonical(): Frame {
    return this.pgds.values().next().value!;
  }

  /**
   * A PGD for a holder: kernel slots of its own root, user slots of the canonical PGD.
   * @patch 07/12 arch/x86/mm/pgtable.c pgd_ctor
   */
  add(holder: NodeId): boolean {
    const { entries, layout, allocator } = this.context;
    // A holder's serves its own CPUs and leads to its copy. Where there is one for all it lies where the caller runs,
    // as any page does.
    const own = this.view.holders.length > 1;
    const pgd = allocator.allocate(own ? holder : this.asked, PGD_ORDER, { purpose: "page-table", thisNode: own });
    if (pgd === NONE) return false;
    for (let half = 0; half < PGD_PAGES; half++) {
      if (holder !== this.home) entries.adopt(pgd + half);
      entries.clear(pgd + half);
    }
    const from = this.view.kernelRoot(holder);
    entries.copy(from, pgd, layout.kernelBoundary, 512);
    if (layout.pti) entries.copy(from + 1, pgd + 1, layout.kernelBoundary, 512);
    if (this.pgds.size > 0) {
      for (let half = 0; half <= (layout.pti ? 1 : 0); half++) {
        const last = layout.kernelBoundary - 1;
        for (let slot = 0; (slot = entries.memory.nextEntry(this.canonical + half, slot, last)) <= last; slot++) {
          const lo = entries.low(this.canonical + half, slot);
          if (isPresent(lo)) entries.write(pgd + half, slot, lo, entries.high(this.canonical + half, slot));
        }
      }
    }
    this.pgds.set(holder, pgd);
    this.pgdNodes = [...this.pgds.keys()];
    return true;
  }

  enter(node: NodeId): void {
    const holder = this.view.nearest(node);
    if (this.plan.growing && !this.pgds.has(holder)) this.add(holder);
  }

  shrink(node: NodeId): boolean {
    const pgd = this.pgds.get(node);
    if (pgd === undefined || pgd === this.canonical || !this.plan.growing) return false;
    this.pgds.delete(node);
    this.pgdNodes = [...this.pgds.keys()];
    freePgd(this.context, pgd);
    return true;
  }

  pgd(node: NodeId): Frame {
    invariant(this.alive, () => `space ${this.id} is used after it was freed`);
    return this.pgds.get(this.view.nearest(node)) ?? this.canonical;
  }

  cr3(node: NodeId, half: "kernel" | "user", pcid = 0): bigint {
    const user = half === "user" && this.context.layout.pti;
    return this.context.entries.cr3(this.pgd(node) + (user ? 1 : 0), pcid | (user && pcid !== 0 ? 0x800 : 0));
  }

  grow(address: bigint, node: NodeId): boolean {
    return this.descend(address, 3, node) !== NONE;
  }

  set(address: bigint, mapping: Mapping, node: NodeId): boolean {
    const { entries } = this.context;
    const table = this.descend(address, mapping.level, node);
    if (table === NONE) return false;
    const { lo, hi } = leafEntry(mapping);
    entries.write(table, tableIndex(address, mapping.level), lo, hi);
    return true;
  }

  /** The table of a level, made with all above it; all of it or nothing. */
  private descend(address: bigint, wanted: number, node: NodeId): Frame {
    const { entries, layout, allocator } = this.context;
    const end = walk(entries.memory, this.canonical, layout.levels, address, wanted + 1);
    // A leaf is in the way, even one without access.
    if (isLeaf(end.lo, end.level)) return NONE;
    if (end.present) return frameOf(end.lo, end.hi);
    const { level, table } = end;
    const made: Frame[] = [];
    for (let each = level; each > wanted; each--) {
      const lower = allocator.allocate(node, 0, { purpose: "page-table", zero: true });
      if (lower === NONE) {
        for (const frame of made) allocator.free(frame, 0);
        return NONE;
      }
      made.push(lower);
    }
    // Linked from below, so that no walker meets a table whose lower part is missing.
    for (let each = wanted + 1; each < level; each++) {
      const upper = made[level - each - 1]!;
      const lower = made[level - each]!;
      entries.write(upper, tableIndex(address, each), entryLow(lower, TABLE_BITS), entryHigh(lower, false));
    }
    const [first] = made;
    if (level === layout.levels) this.populate(end.index, first!);
    else entries.write(table, end.index, entryLow(first!, TABLE_BITS), entryHigh(first!, false));
    return made.at(-1)!;
  }

  /** A new top-level slot, in every PGD, one after the other. @patch 03/12 mm/memory.c __p4d_alloc, __pud_alloc */
  private populate(index: number, lower: Frame): void {
    const { entries, layout } = this.context;
    const isLdt = index === LDT_SLOT;
    for (const pgd of this.pgds.values()) {
      if (layout.pti) entries.write(pgd + 1, index, entryLow(lower, TABLE_BITS), entryHigh(lower, false));
      entries.write(pgd, index, entryLow(lower, TABLE_BITS), entryHigh(lower, layout.pti && !isLdt));
    }
  }

  /** Takes a top-level slot out of every PGD. @patch 03/12 mm/memory.c free_pud_range, free_p4d_range */
  private depopulate(index: number): void {
    const { entries, layout } = this.context;
    for (const pgd of this.pgds.values()) {
      entries.write(pgd, index, 0, 0);
      if (layout.pti) entries.write(pgd + 1, index, 0, 0);
    }
  }

  clear(address: bigint): Mapping | undefined {
    const { table, index, level, lo, hi } = this.walk(address);
    if (lo === 0) return undefined;
    this.context.entries.write(table, index, 0, 0);
    return mappingOf(lo, hi, level as 1 | 2 | 3);
  }

  private walk(address: bigint): WalkEnd {
    return walk(this.context.entries.memory, this.canonical, this.context.layout.levels, address);
  }

  lookup(address: bigint): Mapping | undefined {
    const { level, lo, hi } = this.walk(address);
    return lo === 0 ? undefined : mappingOf(lo, hi, level as 1 | 2 | 3);
  }

  nextLeaf(first: number, last: number): Leaf | undefined {
    const { levels } = this.context.layout;
    return this.leafBelow(this.canonical, levels, 0, first, Math.min(last, 256 * entryPages(levels) - 1));
  }

  /**
   * The first leaf at or below a table. Asked for each page that comes or goes: what walkTables takes to be told what
   * to do costs more than the way. @param base page at which the table begins
   */
  private leafBelow(table: Frame, level: number, base: number, first: number, last: number): Leaf | undefined {
    const { memory } = this.context.entries;
    const pages = entryPages(level);
    const end = Math.min(511, Math.floor((last - base) / pages));
    let index = first > base ? Math.floor((first - base) / pages) : 0;
    for (; (index = memory.nextEntry(table, index, end)) <= end; index++) {
      const lo = memory.read32(table, index * 2);
      const hi = memory.read32(table, index * 2 + 1);
      const page = base + index * pages;
      if (isLeaf(lo, level)) return new FoundLeaf(page, level as 1 | 2 | 3, lo, hi);
      const found = this.leafBelow(frameOf(lo, hi), level - 1, page, first, last);
      if (found) return found;
    }
    return undefined;
  }

  splitLarge(address: bigint, node: NodeId, flush: () => void): boolean {
    const { entries, allocator } = this.context;
    const { level, table, index, lo, hi } = this.walk(address);
    invariant(level === 2 && lo !== 0, () => `${hex(address)} is not a 2 MiB leaf`);
    const lower = allocator.allocate(node, 0, { purpose: "page-table", zero: true });
    if (lower === NONE) return false;
    if (isPresent(lo)) {
      entries.write(table, index, invertLow(changedLow(lo, 2, { present: false })), invertHigh(hi));
      flush();
    }
    writeSplit(entries, lower, lo, hi, 2);
    entries.write(table, index, entryLow(lower, TABLE_BITS), entryHigh(lower, false));
    return true;
  }

  trim({ start, end }: AddressRange): Frame[] {
    const { entries, layout } = this.context;
    const freed: Frame[] = [];
    // A page without access is not present, and still someone's.
    const isEmpty = (table: Frame): boolean => entries.memory.nextEntry(table, 0, 511) === 512;
    walkRange(entries.memory, this.canonical, layout.levels, pagesBetween(start, end), {
      left: (level, lower, table, index) => {
        if (!isEmpty(lower)) return;
        // Slots go before the frame is freed: nothing may point to it when it is used again.
        if (level === layout.levels) this.depopulate(index);
        else entries.write(table, index, 0, 0);
        freed.push(lower);
      },
    });
    return freed;
  }

  followKernel(): void {
    const { entries, layout } = this.context;
    for (const [holder, pgd] of this.pgds) {
      const from = this.view.kernelRoot(holder);
      for (let slot = layout.kernelBoundary; slot < 512; slot++) {
        const lo = entries.low(from, slot);
        if (isPresent(lo) && !isPresent(entries.low(pgd, slot))) entries.write(pgd, slot, lo, entries.high(from, slot));
      }
    }
  }

  mapLdt(frames: readonly Frame[], place: LdtPlace, node: NodeId): boolean {
    const { layout } = this.context;
    if (!layout.pti) return true;
    const start = ldtAddress(layout.levels, place);
    // One table holds both places: only the first page may want tables.
    return frames.every((frame, page) => this.set(start + BigInt(page) * PAGE, { ...LDT_PAGE, frame }, node));
  }

  unmapLdt(place: LdtPlace): void {
    const { layout } = this.context;
    const start = ldtAddress(layout.levels, place);
    for (let page = 0n; layout.pti && page < BigInt(LDT_PAGES); page++) this.clear(start + page * PAGE);
  }

  load(cpu: CpuId): void {
    this.machine.cpu(cpu).writeCr3(this.cr3(this.machine.nodeOfCpu(cpu), "kernel"));
  }

  free(): void {
    invariant(this.alive, () => `space ${this.id} was freed twice`);
    const { entries, layout, allocator } = this.context;
    walkRange(entries.memory, this.canonical, layout.levels, slotRange(layout.levels, 0, layout.kernelBoundary - 1), {
      table: (_address, level, _lower, _table, index) => {
        if (level === layout.levels) this.depopulate(index);
      },
      left: (_level, lower) => allocator.free(lower, 0),
    });
    this.alive = false;
    this.gone(this);
    if (this.holds === 0) this.freePgds();
  }

  private freePgds(): void {
    for (const pgd of this.pgds.values()) freePgd(this.context, pgd);
  }

  hold(): void {
    invariant(this.alive, () => `space ${this.id} is held after it was freed`);
    this.holds++;
  }

  release(): void {
    invariant(this.holds > 0, () => `space ${this.id} is released and nobody holds it`);
    if (--this.holds === 0 && !this.alive) this.freePgds();
  }
}
