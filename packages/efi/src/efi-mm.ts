/**
 * EFI's own page tables: the firmware's regions at the top, and the kernel's part copied from the tables of one holder.
 *
 *   PGD   273 .. 510  the kernel's       511 -> [P4D 0 .. 510 the kernel's, 511 ->] PUD
 *   PUD     0 .. 443  the kernel's       444 .. 507 EFI's own       508 .. 511 the kernel's (its image and modules)
 *
 * So the firmware's caller executes the kernel text of the holder whose tables were copied: node 0's in the series, for
 * all nodes. Text is mapped global, so its translations outlive the call: a CPU of another node goes on using that copy
 * until they are evicted.
 */
import { inject, injectable } from "@kreplica/di";
import {
  frameOfAddress,
  type CpuId,
  entryAddress,
  entryBytes,
  entryHigh,
  entryLow,
  type Frame,
  frameOf,
  isPresent,
  LARGE,
  Machine,
  type NodeId,
  NONE,
  PAGE,
  slotRange,
  tableIndex,
  walkTables,
} from "@kreplica/hw-x86/api";
import {
  CpuState,
  invariant,
  KERNEL_DATA,
  KERNEL_TABLE_BITS,
  KernelLayout,
  leafEntry,
  PageAllocator,
  PGD_ORDER,
  ReplicaView,
  SwitchMm,
  TableMemory,
  type TemporaryTables,
} from "@kreplica/mm-core/api";
import { type Efi, EFI_VA_END, EFI_VA_START, EfiError, type EfiRegion, EfiRoots } from "./api.js";

const FIRST_OWN = tableIndex(EFI_VA_END, 3);
const AFTER_OWN = tableIndex(EFI_VA_START, 3);

/** EFI's own page tables: the firmware's regions at the top, the kernel's part copied from the tables of one holder. */
@injectable()
export class EfiTables implements Efi {
  private readonly byNode = new Map<NodeId, Frame>();
  private readonly tables: TemporaryTables = { name: "EFI", root: (node) => this.root(node) };
  private bottom = EFI_VA_START;

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(TableMemory) private readonly entries: TableMemory,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(EfiRoots) private readonly choice: EfiRoots,
    @inject(SwitchMm) private readonly switcher: SwitchMm,
    @inject(CpuState) private readonly cpus: CpuState,
  ) {}

  get roots(): readonly Frame[] {
    this.build();
    return [...new Set(this.byNode.values())];
  }

  get made(): ReadonlyMap<NodeId, Frame> {
    return this.byNode;
  }

  root(node: NodeId): Frame {
    this.build();
    // One root stands for every node, or each holder's for the nodes nearest to it.
    return this.byNode.get(this.view.nearest(node)) ?? this.byNode.values().next().value!;
  }

  map(region: EfiRegion): bigint {
    const { physical, pages } = region;
    if (physical % PAGE !== 0n) throw new EfiError("misaligned", physical, "not on a 4 KiB boundary");
    const bytes = BigInt(pages) * PAGE;
    let address = this.bottom - bytes;
    // Down to the next place with the same offset in 2 MiB.
    address -= (address - physical) & (LARGE - 1n);
    if (pages < 1 || address < EFI_VA_END)
      throw new EfiError(
        "no-room",
        physical,
        `${pages} pages do not fit the ${(this.bottom - EFI_VA_END) >> 20n} MiB left of the EFI window`,
      );
    this.build();
    const made: Frame[] = [];
    const written: { table: Frame; index: number }[] = [];
    // The window's tables are shared by all roots, so that one change serves them.
    const pud = this.pudOf(this.byNode.values().next().value!);
    try {
      walkTables<Frame>(3, { start: address, pages }, pud, (table, level, index, base) => {
        const at = entryAddress(base, level, index);
        const whole = at >= address && at + entryBytes(level) <= address + bytes;
        if (level === 3 || (level === 2 && !whole)) return this.lower(table, index, made, written);
        const frame = frameOfAddress(physical + at - address);
        const { lo, hi } = leafEntry({
          ...KERNEL_DATA,
          global: false,
          writable: region.writable,
          executable: region.executable,
          level: level as 1 | 2,
          frame,
          // The firmware of a guest is private as all memory is; behind devices' registers there is none.
          encrypted: this.entries.memory.nodeOf(frame) !== NONE,
        });
        this.entries.write(table, index, lo, hi);
        written.push({ table, index });
        return undefined;
      });
    } catch (error) {
      for (const { table, index } of written) this.entries.write(table, index, 0, 0);
      this.copyOwn(pud);
      for (const frame of made) this.allocator.free(frame, 0);
      throw error;
    }
    this.copyOwn(pud);
    this.bottom = address;
    return address;
  }

  refresh(): void {
    this.build();
    for (const [node, root] of this.byNode) this.copyKernel(node, root);
  }

  /** @patch 09/12 arch/x86/platform/efi/efi_64.c efi_call_virt_pointer */
  call<T>(cpu: CpuId, service: () => T): T {
    this.refresh();
    // The switcher knows: a flush of the process below leaves these tables alone, and its PGD is not freed before the
    // CPU is back.
    this.switcher.enterTemporary(cpu, this.tables);
    try {
      return service();
    } finally {
      this.switcher.leaveTemporary(cpu);
    }
  }

  /** Node of the CPU that acts. */
  private get here(): NodeId {
    return this.machine.nodeOfCpu(this.cpus.current);
  }

  private build(): void {
    if (this.byNode.size > 0) return;
    const pgds: Frame[] = [];
    const made: Frame[] = [];
    try {
      const nodes = this.choice.nodes(this.view.holders, this.view.master);
      const roots = nodes.map((node, nth) => {
        // A single copy would have made the first alone.
        const own = (table: Frame): Frame => {
          if (nth > 0) this.entries.adopt(table);
          return table;
        };
        // A root of a holder's own lies there; one for all where it is asked for.
        const place = nodes.length > 1 ? node : this.here;
        // As any PGD of a kernel built with KPTI, two pages, the second of which nobody uses. Linux:
        // efi_alloc_page_tables.
        const root = own(this.table(place, pgds, PGD_ORDER));
        const pud = own(this.table(place, made));
        if (this.layout.levels === 5) {
          const p4d = own(this.table(place, made));
          this.point(root, 511, p4d);
          this.point(p4d, 511, pud);
        } else this.point(root, 511, pud);
        return { node, root };
      });
      for (const { node, root } of roots) this.byNode.set(node, root);
    } catch (error) {
      for (const table of [...made, ...pgds]) this.entries.disown(table);
      for (const frame of made) this.allocator.free(frame, 0);
      for (const pgd of pgds) this.allocator.free(pgd, PGD_ORDER);
      throw error;
    }
    this.refresh();
  }

  private copyKernel(node: NodeId, root: Frame): void {
    interface Pair {
      readonly source: Frame;
      readonly target: Frame;
    }
    const { entries, layout } = this;
    const kernel = slotRange(layout.levels, layout.kernelBoundary, 511);
    const top = { source: this.view.kernelRoot(node), target: root };
    walkTables<Pair>(layout.levels, kernel, top, ({ source, target }, level, index) => {
      // The way to EFI's own part leads through tables of this root's own.
      if (level > 3 && index === 511) {
        const pair = { source: this.next(source, index), target: this.next(target, index) };
        return pair.source === NONE ? undefined : pair;
      }
      if (level === 3 && index >= FIRST_OWN && index < AFTER_OWN) return undefined;
      const lo = entries.low(source, index);
      const hi = entries.high(source, index);
      if (entries.low(target, index) !== lo || entries.high(target, index) !== hi) entries.write(target, index, lo, hi);
      return undefined;
    });
  }

  /** EFI's own part of the first root, for the others. */
  private copyOwn(pud: Frame): void {
    for (const root of this.byNode.values()) {
      const other = this.pudOf(root);
      if (other !== pud) this.entries.copy(pud, other, FIRST_OWN, AFTER_OWN);
    }
  }

  private pudOf(root: Frame): Frame {
    const next = this.next(root, 511);
    const pud = this.layout.levels === 5 ? this.next(next, 511) : next;
    invariant(pud !== NONE, "an EFI root has no table for its window");
    return pud;
  }

  private next(table: Frame, index: number): Frame {
    const lo = this.entries.low(table, index);
    return isPresent(lo) ? frameOf(lo, this.entries.high(table, index)) : NONE;
  }

  private lower(table: Frame, index: number, made: Frame[], written: { table: Frame; index: number }[]): Frame {
    const found = this.next(table, index);
    if (found !== NONE) return found;
    const frame = this.table(this.here, made);
    this.point(table, index, frame);
    written.push({ table, index });
    return frame;
  }

  private table(node: NodeId, made: Frame[], order = 0): Frame {
    const frame = this.allocator.allocate(node, order, { purpose: "page-table", zero: true });
    if (frame === NONE)
      throw new EfiError("out-of-frames", 0n, "a table page could not be had; free memory and try again");
    made.push(frame);
    return frame;
  }

  private point(table: Frame, index: number, lower: Frame): void {
    this.entries.write(table, index, entryLow(lower, KERNEL_TABLE_BITS), entryHigh(lower, false));
  }
}
