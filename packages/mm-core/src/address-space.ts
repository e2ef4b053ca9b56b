/**
 * A user address space: one PGD (or pair under KPTI) for each holder, everything below shared.
 *
 * Only a new top-level slot is written more than once: to every holder's PGD, in its user half too, and marked not executable in
 * the kernel's half. All tables are reached through the canonical PGD, the first holder's.
 */
import { inject, injectable, token } from "@kreplica/di";
import { addressOfFrame, type CpuId, entryHigh, entryLow, type Frame, frameOf, isLeaf, isPresent, Machine, NONE, type NodeId, tableIndex } from "@kreplica/hw-x86/api";
import { BuildContext } from "./build-context.js";
import { invariant } from "./errors.js";
import { PageAllocator, ReplicaView, type Mapping } from "./ports.js";
import { leafEntry, TABLE_BITS } from "./protection.js";
import { TableMemory } from "./table-memory.js";
import { lookup } from "./walk.js";

/** The tables of one process. */
export interface AddressSpace {
  readonly id: number;
  /** PGD a node's CPUs load for this space: its holder's. @patch 02/12 include/linux/mm_types.h pgd_numa */
  pgd(node: NodeId): Frame;
  /** CR3 for a CPU of the node. @param half `user` under KPTI is the second page of the pair, with PCID bit 11 */
  cr3(node: NodeId, half: "kernel" | "user", pcid?: number): bigint;
  /** Installs or replaces a leaf; missing tables come from `node`. @returns false when a table page could not be had */
  set(address: bigint, mapping: Mapping, node: NodeId): boolean;
  /** Takes a leaf away. @returns what was there */
  clear(address: bigint): Mapping | undefined;
  lookup(address: bigint): Mapping | undefined;
  /** Loads the space on a CPU. */
  load(cpu: CpuId): void;
  /** Gives every table page back; leaves' frames stay with their owner. */
  free(): void;
}

/** Makes address spaces. */
export interface AddressSpaces {
  /** @patch 07/12 arch/x86/mm/pgtable.c pgd_alloc @returns undefined when a PGD could not be had; nothing is kept then */
  create(): AddressSpace | undefined;
  /** Spaces alive. */
  readonly all: ReadonlySet<AddressSpace>;
}
export const AddressSpaces = token<AddressSpaces>("mm-core/AddressSpaces");

@injectable()
export class PerHolderSpaces implements AddressSpaces {
  readonly all = new Set<AddressSpace>();
  private next = 1;
  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(BuildContext) private readonly context: BuildContext,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(TableMemory) private readonly entries: TableMemory,
  ) {}

  create(): AddressSpace | undefined {
    const { pti, kernelBoundary } = this.context.layout;
    const order = pti ? 1 : 0;
    const pgds = new Map<NodeId, Frame>();
    for (const node of this.view.holders) {
      const pgd = this.allocator.allocate(node, order, { purpose: "page-table", zero: true, thisNode: this.view.holders.length > 1 });
      if (pgd === NONE) {
        for (const each of pgds.values()) this.allocator.free(each, order);
        return undefined;
      }
      pgds.set(node, pgd);
    }
    let first = true;
    for (const [node, pgd] of pgds) {
      const from = this.view.kernelRoot(node);
      this.entries.copy(from, pgd, kernelBoundary, 512, !first);
      if (pti) this.entries.copy(from + 1, pgd + 1, kernelBoundary, 512, !first);
      first = false;
    }
    const space = new HolderSpace(this.next++, pgds, this.machine, this.context, this.view, (gone) => {
      this.all.delete(gone);
      for (const pgd of pgds.values()) this.allocator.free(pgd, order);
    });
    this.all.add(space);
    return space;
  }
}

class HolderSpace implements AddressSpace {
  private readonly canonical: Frame;
  private alive = true;

  constructor(
    readonly id: number, private readonly pgds: ReadonlyMap<NodeId, Frame>, private readonly machine: Machine, private readonly context: BuildContext,
    private readonly view: ReplicaView, private readonly release: (space: HolderSpace) => void,
  ) {
    this.canonical = pgds.values().next().value!;
  }

  pgd(node: NodeId): Frame {
    const pgd = this.pgds.get(this.view.nearest(node));
    invariant(this.alive && pgd !== undefined, `space ${this.id} has no PGD for node ${node}`);
    return pgd;
  }

  cr3(node: NodeId, half: "kernel" | "user", pcid = 0): bigint {
    const user = half === "user" && this.context.layout.pti;
    return addressOfFrame(this.pgd(node) + (user ? 1 : 0)) | BigInt(pcid | (user && pcid !== 0 ? 0x800 : 0));
  }

  set(address: bigint, mapping: Mapping, node: NodeId): boolean {
    const { entries, layout } = this.context;
    const table = this.descend(address, mapping.level, node);
    if (table === NONE) return false;
    const { lo, hi } = leafEntry(mapping);
    invariant(layout.levels > mapping.level, "a leaf cannot be at the top");
    entries.write(table, tableIndex(address, mapping.level), lo, hi);
    return true;
  }

  private descend(address: bigint, wanted: number, node: NodeId): Frame {
    const { entries, layout, allocator } = this.context;
    let table = this.canonical;
    for (let level: number = layout.levels; level > wanted; level--) {
      const index = tableIndex(address, level);
      const lo = entries.low(table, index);
      if (isPresent(lo)) {
        if (isLeaf(lo, level)) return NONE;
        table = frameOf(lo, entries.high(table, index));
        continue;
      }
      const lower = allocator.allocate(node, 0, { purpose: "page-table", zero: true });
      if (lower === NONE) return NONE;
      if (level === layout.levels) this.populate(index, lower);
      else entries.write(table, index, entryLow(lower, TABLE_BITS), entryHigh(lower, false));
      table = lower;
    }
    return table;
  }

  /** A new top-level slot, in every holder's PGD. @patch 03/12 mm/memory.c __p4d_alloc, __pud_alloc */
  private populate(index: number, lower: Frame): void {
    const { entries, layout } = this.context;
    let first = true;
    for (const pgd of this.pgds.values()) {
      if (layout.pti) entries.write(pgd + 1, index, entryLow(lower, TABLE_BITS), entryHigh(lower, false), !first);
      entries.write(pgd, index, entryLow(lower, TABLE_BITS), entryHigh(lower, layout.pti), !first);
      first = false;
    }
  }

  clear(address: bigint): Mapping | undefined {
    const { entries, layout } = this.context;
    const found = this.lookup(address);
    if (!found) return undefined;
    let table = this.canonical;
    for (let level: number = layout.levels; level > found.level; level--) {
      const index = tableIndex(address, level);
      table = frameOf(entries.low(table, index), entries.high(table, index));
    }
    entries.write(table, tableIndex(address, found.level), 0, 0);
    return found;
  }

  lookup(address: bigint): Mapping | undefined {
    return lookup(this.context.entries.memory, this.canonical, this.context.layout.levels, address);
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
    for (let index = 0; index < 256; index++) {
      const lo = entries.low(this.canonical, index);
      if (!isPresent(lo)) continue;
      const lower = frameOf(lo, entries.high(this.canonical, index));
      // Slots go first, in every PGD, so that nothing points to a table page when it is given back.
      let first = true;
      for (const pgd of this.pgds.values()) {
        entries.write(pgd, index, 0, 0, !first);
        if (layout.pti) entries.write(pgd + 1, index, 0, 0, !first);
        first = false;
      }
      below(lower, layout.levels - 1);
      allocator.free(lower, 0);
    }
    this.alive = false;
    this.release(this);
  }
}

