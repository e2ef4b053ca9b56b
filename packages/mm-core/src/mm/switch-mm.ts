/**
 * Which address space a CPU has loaded, under which PCID, and who must be told when a mapping goes away.
 *
 * Each CPU remembers the last six spaces it ran, each with a PCID of its own and the generation up to which its entries are flushed.
 * A switch back to one of them keeps its entries when the generation still is the same. A CPU that runs a kernel thread keeps the
 * last space loaded (lazily) and is told of freed tables only.
 * Source: Linux 6.5 arch/x86/mm/tlb.c for the rules; numbers from there: TLB_NR_DYN_ASIDS is 6, a range flush ends at 33 pages.
 */
import { inject, injectable, token } from "@kreplica/di";
import { addressOfFrame, type CpuId, Machine, type NodeId } from "@kreplica/hw-x86/api";
import type { AddressSpace } from "../address-space.js";
import { CpuState, SINGLE_PAGE_CEILING } from "../cpu-state.js";
import { KernelOptions } from "../options.js";
import { KernelLayout, ReplicaView } from "../ports.js";

const SLOTS = 6;
const NO_FLUSH = 1n << 63n;
/** User PCID = kernel PCID + this. @source Documentation/arch/x86/pti.rst */
const USER_PCID = 0x800;

interface CpuTlb {
  space: AddressSpace | undefined;
  slot: number;
  lazy: boolean;
  next: number;
  readonly spaces: (AddressSpace | undefined)[];
  readonly generations: Float64Array;
  /** User PCIDs that must be flushed before user mode runs: bit = slot. */
  userPending: number;
}

/** Address spaces on CPUs. */
export interface SwitchMm {
  /** The space a CPU has loaded, lazily or not; undefined is init_mm. */
  loaded(cpu: CpuId): AddressSpace | undefined;
  isLazy(cpu: CpuId): boolean;
  /** @patch 07/12 arch/x86/mm/tlb.c switch_mm_irqs_off @returns whether CR3 was written */
  switchTo(cpu: CpuId, space: AddressSpace): boolean;
  /** A kernel thread: the space stays loaded, borrowed. */
  idle(cpu: CpuId): void;
  /** init_mm's own root: before a CPU goes away, or when the space it borrows dies. @patch 07/12 arch/x86/mm/tlb.c initialize_tlbstate_and_flush */
  leave(cpu: CpuId): void;
  /** Entry to and exit from user mode: under KPTI the other half of the pair. */
  enterUser(cpu: CpuId): void;
  enterKernel(cpu: CpuId): void;
  /** Flushes [start, start + pages) of a space from every CPU that may hold it. @param freedTables lazily loaded CPUs too */
  flush(space: AddressSpace, start: bigint, pages: number, freedTables: boolean, from: CpuId): void;
  /** Lets no CPU keep the space; before its tables are freed. */
  forget(space: AddressSpace): void;
  /** Root a debug build expects in CR3. @patch 07/12 arch/x86/mm/tlb.c */
  expectedRoot(cpu: CpuId): number;
  /** CR3 writes that switches made, and flushes by interrupt. */
  readonly counts: { readonly switches: number; readonly writes: number; readonly shootdowns: number };
}
export const SwitchMm = token<SwitchMm>("mm-core/SwitchMm");

@injectable()
export class PcidSwitch implements SwitchMm {
  readonly counts = { switches: 0, writes: 0, shootdowns: 0 };
  private readonly cpus = new Map<CpuId, CpuTlb>();
  private readonly generations = new WeakMap<AddressSpace, number>();

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(KernelOptions) private readonly options: KernelOptions,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(CpuState) private readonly state: CpuState,
  ) {}

  private of(cpu: CpuId): CpuTlb {
    let tlb = this.cpus.get(cpu);
    if (!tlb) this.cpus.set(cpu, (tlb = { space: undefined, slot: 0, lazy: false, next: 0, spaces: [], generations: new Float64Array(SLOTS), userPending: 0 }));
    return tlb;
  }

  private generation(space: AddressSpace): number { return this.generations.get(space) ?? 1; }
  private node(cpu: CpuId): NodeId { return this.machine.nodeOfCpu(cpu); }
  private pcid(slot: number): number { return this.options.pcid ? slot + 1 : 0; }

  loaded(cpu: CpuId): AddressSpace | undefined { return this.of(cpu).space; }
  isLazy(cpu: CpuId): boolean { return this.of(cpu).lazy; }

  switchTo(cpu: CpuId, space: AddressSpace): boolean {
    const tlb = this.of(cpu);
    this.counts.switches++;
    const generation = this.generation(space);
    if (tlb.space === space) {
      const wasLazy = tlb.lazy;
      tlb.lazy = false;
      // Threads of one process: same root, nothing to do, unless flushes were missed while the space was only borrowed.
      if (!wasLazy || tlb.generations[tlb.slot] === generation) return false;
      this.write(cpu, space, tlb.slot, true);
      tlb.generations[tlb.slot] = generation;
      return true;
    }
    const known = space.pgdNodes.length;
    space.enter(this.node(cpu));
    if (space.pgdNodes.length > known) this.follow(space, cpu);
    let slot = tlb.spaces.indexOf(space);
    const fresh = slot < 0;
    if (fresh) {
      slot = tlb.next;
      tlb.next = (tlb.next + 1) % SLOTS;
      tlb.spaces[slot] = space;
    }
    const flush = fresh || tlb.generations[slot] !== generation;
    tlb.space = space;
    tlb.slot = slot;
    tlb.lazy = false;
    tlb.generations[slot] = generation;
    this.write(cpu, space, slot, flush);
    return true;
  }

  /** A node got its PGD: its other CPUs that run the space, on another node's for want of memory, change to it. */
  private follow(space: AddressSpace, from: CpuId): void {
    const told: CpuId[] = [];
    for (const [cpu, tlb] of this.cpus) {
      if (cpu === from || tlb.space !== space || this.machine.cpu(cpu).rootFrame === space.pgd(this.node(cpu))) continue;
      this.write(cpu, space, tlb.slot, true);
      told.push(cpu);
    }
    if (told.length > 0) this.machine.interrupt(from, told);
  }

  private write(cpu: CpuId, space: AddressSpace, slot: number, flush: boolean): void {
    const keep = this.options.pcid && !flush ? NO_FLUSH : 0n;
    if (flush) this.of(cpu).userPending |= 1 << slot;
    this.counts.writes++;
    this.machine.cpu(cpu).writeCr3(space.cr3(this.node(cpu), "kernel", this.pcid(slot)) | keep);
  }

  idle(cpu: CpuId): void {
    const tlb = this.of(cpu);
    if (tlb.space) tlb.lazy = true;
  }

  leave(cpu: CpuId): void {
    const tlb = this.of(cpu);
    tlb.space = undefined;
    tlb.lazy = false;
    this.machine.cpu(cpu).privilege = 0;
    this.counts.writes++;
    this.machine.cpu(cpu).writeCr3(addressOfFrame(this.view.kernelRoot(this.node(cpu))));
  }

  enterUser(cpu: CpuId): void {
    const tlb = this.of(cpu);
    const core = this.machine.cpu(cpu);
    if (this.layout.pti && tlb.space) {
      const pending = (tlb.userPending & (1 << tlb.slot)) !== 0;
      tlb.userPending &= ~(1 << tlb.slot);
      core.writeCr3(tlb.space.cr3(this.node(cpu), "user", this.pcid(tlb.slot)) | (this.options.pcid && !pending ? NO_FLUSH : 0n));
    }
    core.privilege = 3;
  }

  enterKernel(cpu: CpuId): void {
    const tlb = this.of(cpu);
    const core = this.machine.cpu(cpu);
    core.privilege = 0;
    if (this.layout.pti && tlb.space) core.writeCr3(tlb.space.cr3(this.node(cpu), "kernel", this.pcid(tlb.slot)) | (this.options.pcid ? NO_FLUSH : 0n));
  }

  flush(space: AddressSpace, start: bigint, pages: number, freedTables: boolean, from: CpuId): void {
    const generation = this.generation(space) + 1;
    this.generations.set(space, generation);
    const told: CpuId[] = [];
    for (const cpu of this.state.online) {
      const tlb = this.of(cpu);
      if (tlb.space !== space || (tlb.lazy && !freedTables)) continue;
      if (cpu !== from) told.push(cpu);
      this.flushOn(cpu, tlb, space, start, pages, generation);
    }
    if (told.length === 0) return;
    this.counts.shootdowns++;
    this.machine.interrupt(from, told);
  }

  private flushOn(cpu: CpuId, tlb: CpuTlb, space: AddressSpace, start: bigint, pages: number, generation: number): void {
    const core = this.machine.cpu(cpu);
    const user = core.privilege === 3;
    if (user) this.enterKernel(cpu);
    if (pages > SINGLE_PAGE_CEILING) this.write(cpu, space, tlb.slot, true);
    else {
      for (let page = 0; page < pages; page++) {
        core.invlpg(start + BigInt(page) * 4096n);
        if (this.layout.pti && this.options.pcid) core.invpcid(0, this.pcid(tlb.slot) + USER_PCID, start + BigInt(page) * 4096n);
      }
    }
    tlb.generations[tlb.slot] = generation;
    if (user) this.enterUser(cpu);
  }

  forget(space: AddressSpace): void {
    for (const [cpu, tlb] of this.cpus) {
      if (tlb.space === space) this.leave(cpu);
      const slot = tlb.spaces.indexOf(space);
      if (slot >= 0) tlb.spaces[slot] = undefined;
    }
  }

  expectedRoot(cpu: CpuId): number {
    // The series' check was not converted: it names node 0's PGD for every CPU (defect D3).
    const node = this.options.defects?.has("D3") ? this.view.holders[0]! : this.node(cpu);
    const space = this.of(cpu).space;
    return space ? space.pgd(node) : this.view.kernelRoot(node);
  }
}
