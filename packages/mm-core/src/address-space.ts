/**
 * A user address space: one PGD, a pair of pages, for each holder, everything below shared.
 *
 * Only a top-level slot is written more than once: into every PGD there is, into its user half too, and marked not executable in the
 * kernel's half. All lower tables are reached through the canonical PGD, the first one made. Which holders get a PGD at once and
 * which only when a CPU of theirs first runs the space is the plan's decision.
 */
import { inject, injectable, token } from "@kreplica/di";
import { addressOfFrame, type CpuId, entryHigh, entryLow, type Frame, frameOf, isLeaf, isPresent, Machine, NONE, type NodeId, tableIndex } from "@kreplica/hw-x86/api";
import { BuildContext } from "./build-context.js";
import { invariant } from "./errors.js";
import { KernelOptions } from "./options.js";
import { type Mapping, PageAllocator, ReplicaView } from "./ports.js";
import { leafEntry, mappingOf, TABLE_BITS } from "./protection.js";
import { writeSplit } from "./split-leaf.js";
import { walk } from "./walk.js";

/** The tables of one process. */
export interface AddressSpace {
  readonly id: number;
  /** PGD a node's CPUs load for this space. @patch 02/12 include/linux/mm_types.h pgd_numa */
  pgd(node: NodeId): Frame;
  /** Nodes that have a PGD of their own now, the canonical one first. */
  readonly pgdNodes: readonly NodeId[];
  /** Makes a PGD for a node's holder where the plan wants one; the canonical one serves when there is no memory. */
  enter(node: NodeId): void;
  /** Gives a node's PGD back, unless it is the canonical one. @returns whether there was one */
  shrink(node: NodeId): boolean;
  /** Makes the table under the top-level slot of an address, down to PUD level. @returns false when a table page could not be had */
  grow(address: bigint, node: NodeId): boolean;
  /** CR3 for a CPU of the node. @param half `user` under KPTI is the second page of the pair, with PCID bit 11 */
  cr3(node: NodeId, half: "kernel" | "user", pcid?: number): bigint;
  /** Installs or replaces a leaf; missing tables come from `node`. @returns false when a table page could not be had; nothing is changed then */
  set(address: bigint, mapping: Mapping, node: NodeId): boolean;
  /** Takes a leaf away. @returns what was there */
  clear(address: bigint): Mapping | undefined;
  /** The leaf over an address. One without access has a page all the same, and is found with `present` false. */
  lookup(address: bigint): Mapping | undefined;
  /** First address in [start, end) with a leaf, present or not; whole tables that are missing are passed over. */
  nextMapped(start: bigint, end: bigint): bigint | undefined;
  /** Replaces a 2 MiB leaf by 512 small ones that say the same. @returns false when a table page could not be had */
  splitLarge(address: bigint, node: NodeId): boolean;
  /**
   * Unlinks tables that map nothing any more between two addresses; a top-level slot leaves every PGD.
   * @returns their frames, to be freed once no CPU can walk them: after the flush
   */
  trim(start: bigint, end: bigint): Frame[];
  /** Takes over kernel slots that its holders' roots got after it was made. @source sync_global_pgds */
  followKernel(): void;
  /** The per-process slot of the LDT under KPTI: [slot 272], in both halves of every PGD. @returns false when there was no memory */
  mapLdt(frame: Frame): boolean;
  /** Loads the space on a CPU, with PCID 0. */
  load(cpu: CpuId): void;
  /** One more CPU that comes back to the PGDs. Linux: mmgrab */
  hold(): void;
  /** One less; the last lets go of the PGDs of a space that was freed meanwhile. Linux: mmdrop @throws InvariantError when none holds it */
  release(): void;
  /** Gives every table page back, PGDs as soon as no CPU holds them; leaves' frames stay with their owner. */
  free(): void;
}

/** Makes address spaces. */
export interface AddressSpaces {
  /** @patch 07/12 arch/x86/mm/pgtable.c pgd_alloc @param node where it is asked for @returns undefined when a PGD could not be had; nothing is kept then */
  create(node?: NodeId, parent?: AddressSpace): AddressSpace | undefined;
  /** Spaces alive. */
  readonly all: ReadonlySet<AddressSpace>;
}
export const AddressSpaces = token<AddressSpaces>("mm-core/AddressSpaces");

/** Which holders get a PGD for a space, and when. */
export interface PgdPlan {
  readonly name: string;
  /** Holders that get one at once; not empty. @param creator holder nearest to the CPU that asks */
  initial(holders: readonly NodeId[], creator: NodeId): readonly NodeId[];
  /** Whether a holder gets its own at the first switch there. */
  readonly growing: boolean;
}
export const PgdPlan = token<PgdPlan>("mm-core/PgdPlan");

/** The series': one for every holder at once. */
export const EAGER_PGDS: PgdPlan = { name: "eager", initial: (holders) => holders, growing: false };
/** What reviewers asked for: one where the space is made, others at the first switch. */
export const LAZY_PGDS: PgdPlan = { name: "lazy", initial: (_holders, creator) => [creator], growing: true };
/** One for good, of the node where the space is made: threads elsewhere run that node's copy of the kernel. */
export const HOME_PGDS: PgdPlan = { name: "home", initial: (_holders, creator) => [creator], growing: false };

/**
 * Order of a PGD's allocation: two pages, both cleared, in every kernel built with KPTI, though one booted without uses the first alone.
 * @source CONFIG_PAGE_TABLE_ISOLATION and PGD_ALLOCATION_ORDER of arch/x86/include/asm/pgalloc.h (6.1, 6.5); Debian's kernels and the port have it
 */
export const PGD_ORDER = 1;
/** Pages of a PGD: the kernel's half and, behind it, the user's. */
export const PGD_PAGES = 2;

/** PGD slot of the LDT remap area. @source Documentation/arch/x86/x86_64/mm.rst */
export const LDT_SLOT = 272;

@injectable()
export class PerHolderSpaces implements AddressSpaces {
  readonly all = new Set<AddressSpace>();
  private next = 1;
  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(BuildContext) private readonly context: BuildContext,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(KernelOptions) private readonly options: KernelOptions,
    @inject(PgdPlan) private readonly plan: PgdPlan,
  ) {}

  create(node: NodeId = this.view.master, parent?: AddressSpace): AddressSpace | undefined {
    const pgds = new Map<NodeId, Frame>();
    const creator = this.view.nearest(node);
    const initial = this.plan.initial(this.view.holders, creator);
    const space = new HolderSpace(this.next, pgds, initial.includes(creator) ? creator : initial[0]!, this.machine, this.context, this.view, this.plan, this.options, (gone) => this.all.delete(gone));
    for (const holder of initial) {
      if (space.add(holder)) continue;
      // Only what this call made goes back. The series frees what a copied mm_struct still names: the parent's (defect D8).
      const undo = this.options.defects?.has("D8") && parent ? parent.pgdNodes.map((each) => parent.pgd(each)) : [...pgds.values()];
      for (const pgd of undo) this.allocator.free(pgd, PGD_ORDER);
      return undefined;
    }
    this.next++;
    this.all.add(space);
    return space;
  }
}

class HolderSpace implements AddressSpace {
  private alive = true;
  private holds = 0;
  private ldt = NONE;

  constructor(
    readonly id: number, private readonly pgds: Map<NodeId, Frame>,
    /** Whose PGD a single copy would have made: where the space was asked for. The others are replicas. */
    private readonly home: NodeId,
    private readonly machine: Machine, private readonly context: BuildContext,
    private readonly view: ReplicaView, private readonly plan: PgdPlan, private readonly options: KernelOptions, private readonly gone: (space: HolderSpace) => void,
  ) {}

  private get canonical(): Frame { return this.pgds.values().next().value!; }
  get pgdNodes(): readonly NodeId[] { return [...this.pgds.keys()]; }

  /** A PGD for a holder: kernel slots of its own root, user slots of the canonical PGD. @patch 07/12 arch/x86/mm/pgtable.c pgd_ctor */
  add(holder: NodeId): boolean {
    const { entries, layout, allocator } = this.context;
    const pgd = allocator.allocate(holder, PGD_ORDER, { purpose: "page-table", thisNode: this.view.holders.length > 1 });
    if (pgd === NONE) return false;
    const replica = holder !== this.home;
    for (let half = 0; half < PGD_PAGES; half++) entries.clear(pgd + half, replica);
    const from = this.view.kernelRoot(holder);
    entries.copy(from, pgd, layout.kernelBoundary, 512, replica);
    if (layout.pti) entries.copy(from + 1, pgd + 1, layout.kernelBoundary, 512, replica);
    if (this.pgds.size > 0) {
      for (let half = 0; half <= (layout.pti ? 1 : 0); half++) {
        for (let slot = 0; slot < layout.kernelBoundary; slot++) {
          const lo = entries.low(this.canonical + half, slot);
          if (isPresent(lo)) entries.write(pgd + half, slot, lo, entries.high(this.canonical + half, slot), replica);
        }
      }
    }
    this.pgds.set(holder, pgd);
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
    this.context.allocator.free(pgd, PGD_ORDER);
    return true;
  }

  pgd(node: NodeId): Frame {
    invariant(this.alive, `space ${this.id} is used after it was freed`);
    return this.pgds.get(this.view.nearest(node)) ?? this.canonical;
  }

  cr3(node: NodeId, half: "kernel" | "user", pcid = 0): bigint {
    const user = half === "user" && this.context.layout.pti;
    return addressOfFrame(this.pgd(node) + (user ? 1 : 0)) | BigInt(pcid | (user && pcid !== 0 ? 0x800 : 0));
  }

  grow(address: bigint, node: NodeId): boolean { return this.descend(address, 3, node) !== NONE; }

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
    let table = this.canonical;
    let level: number = layout.levels;
    for (; level > wanted; level--) {
      const index = tableIndex(address, level);
      const lo = entries.low(table, index);
      if (isLeaf(lo, level)) return NONE;
      if (!isPresent(lo)) break;
      table = frameOf(lo, entries.high(table, index));
    }
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
    if (made.length > 0) {
      if (level === layout.levels) this.populate(tableIndex(address, level), made[0]!);
      else entries.write(table, tableIndex(address, level), entryLow(made[0]!, TABLE_BITS), entryHigh(made[0]!, false));
    }
    return made.at(-1) ?? table;
  }

  /** A new top-level slot, in every PGD, one after the other. @patch 03/12 mm/memory.c __p4d_alloc, __pud_alloc */
  private populate(index: number, lower: Frame): void {
    const { entries, layout } = this.context;
    for (const [holder, pgd] of this.pgds) {
      const replica = holder !== this.home;
      if (layout.pti) entries.write(pgd + 1, index, entryLow(lower, TABLE_BITS), entryHigh(lower, false), replica);
      entries.write(pgd, index, entryLow(lower, TABLE_BITS), entryHigh(lower, layout.pti), replica);
    }
  }

  /** Takes a top-level slot out of every PGD. @patch 03/12 mm/memory.c free_pud_range, free_p4d_range */
  private depopulate(index: number): void {
    const { entries, layout } = this.context;
    for (const [holder, pgd] of this.pgds) {
      const replica = holder !== this.home;
      entries.write(pgd, index, 0, 0, replica);
      if (layout.pti) entries.write(pgd + 1, index, 0, 0, replica);
    }
  }

  clear(address: bigint): Mapping | undefined {
    const found = this.lookup(address);
    if (found) this.context.entries.write(this.tableOf(address, found.level), tableIndex(address, found.level), 0, 0);
    return found;
  }

  private tableOf(address: bigint, wanted: number): Frame {
    const { entries, layout } = this.context;
    let table = this.canonical;
    for (let level: number = layout.levels; level > wanted; level--) {
      const index = tableIndex(address, level);
      table = frameOf(entries.low(table, index), entries.high(table, index));
    }
    return table;
  }

  lookup(address: bigint): Mapping | undefined {
    const { level, lo, hi } = walk(this.context.entries.memory, this.canonical, this.context.layout.levels, address);
    return lo === 0 ? undefined : mappingOf(lo, hi, level as 1 | 2 | 3);
  }

  nextMapped(start: bigint, end: bigint): bigint | undefined {
    const { entries, layout } = this.context;
    for (let at = start; at < end;) {
      let table = this.canonical;
      let level: number = layout.levels;
      for (; ; level--) {
        const index = tableIndex(at, level);
        const lo = entries.low(table, index);
        if (lo === 0) break;
        if (isLeaf(lo, level)) return at;
        table = frameOf(lo, entries.high(table, index));
      }
      const step = 1n << BigInt(12 + 9 * (level - 1));
      at = (at & ~(step - 1n)) + step;
    }
    return undefined;
  }

  splitLarge(address: bigint, node: NodeId): boolean {
    const { entries, allocator, layout } = this.context;
    const { level, table, index, lo, hi } = walk(entries.memory, this.canonical, layout.levels, address);
    invariant(level === 2 && lo !== 0, `0x${address.toString(16)} is not a 2 MiB leaf`);
    const lower = allocator.allocate(node, 0, { purpose: "page-table", zero: true });
    if (lower === NONE) return false;
    writeSplit(entries, lower, lo, hi, 2);
    entries.write(table, index, entryLow(lower, TABLE_BITS), entryHigh(lower, false));
    return true;
  }

  trim(start: bigint, end: bigint): Frame[] {
    const { entries, layout } = this.context;
    const freed: Frame[] = [];
    const isEmpty = (table: Frame): boolean => {
      // A page without access is not present, and still someone's.
      for (let index = 0; index < 512; index++) if (entries.low(table, index) !== 0) return false;
      return true;
    };
    const below = (table: Frame, level: number, base: bigint): void => {
      const step = 1n << BigInt(12 + 9 * (level - 1));
      const first = start > base ? Number((start - base) / step) : 0;
      for (let index = first; index < 512 && base + BigInt(index) * step < end; index++) {
        const lo = entries.low(table, index);
        if (!isPresent(lo) || isLeaf(lo, level)) continue;
        const lower = frameOf(lo, entries.high(table, index));
        if (level > 2) below(lower, level - 1, base + BigInt(index) * step);
        if (!isEmpty(lower)) continue;
        // Slots go before the frame is freed: nothing may point to it when it is used again.
        if (level === layout.levels) this.depopulate(index);
        else entries.write(table, index, 0, 0);
        freed.push(lower);
      }
    };
    below(this.canonical, layout.levels, 0n);
    return freed;
  }

  followKernel(): void {
    const { entries, layout } = this.context;
    for (const [holder, pgd] of this.pgds) {
      const from = this.view.kernelRoot(holder);
      for (let slot = layout.kernelBoundary; slot < 512; slot++) {
        const lo = entries.low(from, slot);
        if (isPresent(lo) && !isPresent(entries.low(pgd, slot))) entries.write(pgd, slot, lo, entries.high(from, slot), holder !== this.home);
      }
    }
  }

  mapLdt(frame: Frame): boolean {
    const { entries, layout, allocator } = this.context;
    if (!layout.pti || this.ldt !== NONE) return true;
    const tables: Frame[] = [];
    for (let level: number = layout.levels; level > 1; level--) {
      const table = allocator.allocate(this.view.master, 0, { purpose: "page-table", zero: true });
      if (table === NONE) {
        for (const each of tables) allocator.free(each, 0);
        return false;
      }
      tables.push(table);
    }
    for (let at = 0; at + 1 < tables.length; at++) entries.write(tables[at]!, 0, entryLow(tables[at + 1]!, TABLE_BITS), entryHigh(tables[at + 1]!, false));
    const { lo, hi } = leafEntry({ frame, level: 1, present: true, writable: false, executable: false, global: false, user: false, cache: "wb" });
    entries.write(tables.at(-1)!, 0, lo, hi);
    this.ldt = tables[0]!;
    for (const [holder, pgd] of this.pgds) {
      const replica = holder !== this.home;
      entries.write(pgd, LDT_SLOT, entryLow(this.ldt, TABLE_BITS), entryHigh(this.ldt, false), replica);
      // The series writes the user half of node 0's pair alone (defect D11).
      if (pgd === this.canonical || !this.options.defects?.has("D11")) entries.write(pgd + 1, LDT_SLOT, entryLow(this.ldt, TABLE_BITS), entryHigh(this.ldt, false), replica);
    }
    return true;
  }

  load(cpu: CpuId): void {
    this.machine.cpu(cpu).writeCr3(this.cr3(this.machine.nodeOfCpu(cpu), "kernel"));
  }

  free(): void {
    invariant(this.alive, `space ${this.id} was freed twice`);
    const { entries, layout, allocator } = this.context;
    const below = (table: Frame, level: number): void => {
      for (let index = 0; index < 512; index++) {
        const lo = entries.low(table, index);
        if (!isPresent(lo) || isLeaf(lo, level)) continue;
        const lower = frameOf(lo, entries.high(table, index));
        if (level > 2) below(lower, level - 1);
        allocator.free(lower, 0);
      }
    };
    for (let index = 0; index < layout.kernelBoundary; index++) {
      const lo = entries.low(this.canonical, index);
      if (!isPresent(lo)) continue;
      const lower = frameOf(lo, entries.high(this.canonical, index));
      this.depopulate(index);
      below(lower, layout.levels - 1);
      allocator.free(lower, 0);
    }
    this.alive = false;
    this.gone(this);
    if (this.holds === 0) this.freePgds();
  }

  private freePgds(): void { for (const pgd of this.pgds.values()) this.context.allocator.free(pgd, PGD_ORDER); }

  hold(): void {
    invariant(this.alive, `space ${this.id} is held after it was freed`);
    this.holds++;
  }

  release(): void {
    invariant(this.holds > 0, `space ${this.id} is released and nobody holds it`);
    if (--this.holds === 0 && !this.alive) this.freePgds();
  }
}
