/**
 * Which address space a CPU has loaded, under which PCID, and who must be told when a mapping goes away.
 *
 * Each CPU remembers the last six spaces it ran, each with a PCID of its own, the root it had and the generation up to
 * which its entries are flushed. A switch back to one of them keeps its entries when both still are the same. A CPU
 * that runs a kernel thread keeps the last space loaded (lazily) and is told of freed tables only; one on temporary
 * tables is told of nothing. So a flush may find a CPU that missed an earlier one: the range it brings is not all the
 * CPU has to forget. Source: Linux 6.5 arch/x86/mm/tlb.c for the rules; numbers from there: TLB_NR_DYN_ASIDS is 6, a
 * range flush ends at 33 pages.
 */
import { inject, injectable } from "@kreplica/di";
import { CR3_NO_FLUSH, type CpuId, highOf, Machine, type NodeId, PAGE, type PageRange } from "@kreplica/hw-x86/api";
import type { AddressSpace } from "./address-space-api.js";
import { CpuState, SINGLE_PAGE_CEILING } from "../tables/cpu-state-api.js";
import { invariant } from "../errors.js";
import { KernelOptions } from "../options-api.js";
import { KernelLayout } from "../image/kernel-layout-api.js";
import { ReplicaView } from "../tables/replica-view-api.js";
import { TableMemory } from "../tables/table-memory-api.js";
import type { Ldt } from "./process-api.js";
import type { PcidUse, SwitchMm, TemporaryTables } from "./switch-api.js";

const SLOTS = 6;
/** User PCID = kernel PCID + this. @source Documentation/arch/x86/pti.rst */
const USER_PCID = 0x800;

/** A CPU away on temporary tables, and what it left. */
interface Away {
  readonly tables: TemporaryTables;
  /** Holds its PGDs; undefined for init_mm. */
  readonly held: AddressSpace | undefined;
  readonly cr3: bigint;
  readonly privilege: 0 | 3;
}

/** Where a value of CR3 gets its bit 63: arithmetic with so large a bigint takes longer than all else of a switch. */
const VALUE = new BigUint64Array(1);
const HALVES = new Uint32Array(VALUE.buffer);
const NO_FLUSH = highOf(CR3_NO_FLUSH);

/** The same value of CR3, which keeps what is cached under its PCID. */
function kept(cr3: bigint): bigint {
  VALUE[0] = cr3;
  HALVES[1]! |= NO_FLUSH;
  return VALUE[0];
}

interface CpuTlb {
  space: AddressSpace | undefined;
  /** What LDTR was loaded with. */
  ldt: Ldt | undefined;
  slot: number;
  lazy: boolean;
  /** CR3 and what stands here may not be of one space. Linux: LOADED_MM_SWITCHING */
  switching: boolean;
  away: Away | undefined;
  next: number;
  readonly spaces: (AddressSpace | undefined)[];
  readonly generations: Float64Array;
  /** PGD that was loaded last under each PCID: entries made from another one are not kept. */
  readonly roots: Float64Array;
  /** User PCIDs that must be flushed before user mode runs: bit = slot. */
  userPending: number;
}

/**
 * Which space each CPU has loaded, under which PCID, and who is told when a mapping goes away.
 * @source Linux 6.5 arch/x86/mm/tlb.c
 */
@injectable()
export class PcidSwitch implements SwitchMm {
  readonly counts = { switches: 0, writes: 0, shootdowns: 0 };
  /** In the order in which they were first asked about. */
  private readonly cpus = new Map<CpuId, CpuTlb>();
  private readonly byNumber: CpuTlb[] = [];
  private readonly generations = new WeakMap<AddressSpace, number>();
  private readonly ldts = new WeakMap<AddressSpace, Ldt>();

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(KernelOptions) private readonly options: KernelOptions,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(CpuState) private readonly state: CpuState,
    @inject(TableMemory) private readonly entries: TableMemory,
  ) {}

  private of(cpu: CpuId): CpuTlb {
    let tlb = this.byNumber[cpu];
    if (!tlb) {
      tlb = {
        space: undefined,
        ldt: undefined,
        slot: 0,
        lazy: false,
        switching: false,
        away: undefined,
        next: 0,
        spaces: [],
        generations: new Float64Array(SLOTS),
        roots: new Float64Array(SLOTS),
        userPending: 0,
      };
      this.cpus.set(cpu, tlb);
      this.byNumber[cpu] = tlb;
    }
    return tlb;
  }

  private generation(space: AddressSpace): number {
    return this.generations.get(space) ?? 1;
  }
  private node(cpu: CpuId): NodeId {
    return this.machine.nodeOfCpu(cpu);
  }
  private pcid(slot: number): number {
    return this.options.pcid ? slot + 1 : 0;
  }

  loaded(cpu: CpuId): AddressSpace | undefined {
    return this.of(cpu).space;
  }
  isLazy(cpu: CpuId): boolean {
    return this.of(cpu).lazy;
  }
  temporary(cpu: CpuId): TemporaryTables | undefined {
    return this.of(cpu).away?.tables;
  }

  /**
   * What a CPU has loaded may change, or user mode run, only where the CPU's own thread does it: not below the firmware
   * or a poke.
   */
  private here(cpu: CpuId, tlb: CpuTlb, what: string): void {
    invariant(
      tlb.away === undefined,
      () => `CPU ${cpu} is on the tables of ${tlb.away?.tables.name ?? ""} and cannot ${what}`,
    );
  }

  nmiMayAccess(cpu: CpuId, space: AddressSpace): boolean {
    const tlb = this.of(cpu);
    return tlb.space === space && !tlb.switching && !tlb.away;
  }

  switchTo(cpu: CpuId, space: AddressSpace): boolean {
    const tlb = this.of(cpu);
    this.here(cpu, tlb, "switch to a space");
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
    const keep = !fresh && this.isFresh(cpu, tlb, slot, space);
    tlb.switching = true;
    tlb.space = space;
    tlb.ldt = this.ldts.get(space);
    tlb.slot = slot;
    tlb.lazy = false;
    tlb.generations[slot] = generation;
    this.write(cpu, space, slot, !keep);
    tlb.switching = false;
    return true;
  }

  /** Whether nothing was missed: what the CPU still has under a PCID is what the space's tables say. */
  private isFresh(cpu: CpuId, { generations, roots }: CpuTlb, slot: number, space: AddressSpace): boolean {
    return generations[slot] === this.generation(space) && roots[slot] === space.pgd(this.node(cpu));
  }

  /** A node got its PGD: its other CPUs that run the space, on another node's for want of memory, change to it. */
  private follow(space: AddressSpace, from: CpuId): void {
    const told: CpuId[] = [];
    for (const [cpu, tlb] of this.cpus) {
      if (
        cpu === from ||
        tlb.away ||
        tlb.space !== space ||
        this.machine.cpu(cpu).rootFrame === space.pgd(this.node(cpu))
      )
        continue;
      this.write(cpu, space, tlb.slot, true);
      told.push(cpu);
    }
    if (told.length > 0) this.machine.interrupt(from, told);
  }

  private write(cpu: CpuId, space: AddressSpace, slot: number, flush: boolean): void {
    const tlb = this.of(cpu);
    if (flush) tlb.userPending |= 1 << slot;
    tlb.roots[slot] = space.pgd(this.node(cpu));
    this.counts.writes++;
    const cr3 = space.cr3(this.node(cpu), "kernel", this.pcid(slot));
    this.machine.cpu(cpu).writeCr3(this.options.pcid && !flush ? kept(cr3) : cr3);
  }

  idle(cpu: CpuId): void {
    const tlb = this.of(cpu);
    if (tlb.space) tlb.lazy = true;
  }

  leave(cpu: CpuId): void {
    const tlb = this.of(cpu);
    this.here(cpu, tlb, "leave its space");
    tlb.space = undefined;
    tlb.ldt = undefined;
    tlb.lazy = false;
    this.machine.cpu(cpu).privilege = 0;
    this.counts.writes++;
    this.machine.cpu(cpu).writeCr3(this.entries.cr3(this.view.kernelRoot(this.node(cpu))));
  }

  enterTemporary(cpu: CpuId, tables: TemporaryTables): void {
    const tlb = this.of(cpu);
    this.here(cpu, tlb, `load those of ${tables.name}`);
    const core = this.machine.cpu(cpu);
    // Whoever frees the space while its CPU is away must not free what the CPU comes back to.
    tlb.space?.hold();
    tlb.away = { tables, held: tlb.space, cr3: core.cr3, privilege: core.privilege };
    tlb.ldt = undefined;
    core.privilege = 0;
    this.counts.writes++;
    core.writeCr3(this.entries.cr3(tables.root(this.node(cpu))));
  }

  leaveTemporary(cpu: CpuId): void {
    const tlb = this.of(cpu);
    const { away, space } = tlb;
    invariant(away !== undefined, () => `CPU ${cpu} is not on temporary tables`);
    tlb.switching = true;
    tlb.away = undefined;
    if (space) {
      tlb.ldt = this.ldts.get(space);
      const keep = this.isFresh(cpu, tlb, tlb.slot, space);
      tlb.generations[tlb.slot] = this.generation(space);
      this.write(cpu, space, tlb.slot, !keep);
      if (away.privilege === 3) this.enterUser(cpu);
    } else if (away.held) {
      this.leave(cpu);
    } else {
      // The kernel's own roots stay for good: it goes back to the one it had, early in the boot the boot table.
      const core = this.machine.cpu(cpu);
      this.counts.writes++;
      core.writeCr3(away.cr3);
      core.privilege = away.privilege;
    }
    tlb.switching = false;
    away.held?.release();
  }

  enterUser(cpu: CpuId): void {
    const tlb = this.of(cpu);
    this.here(cpu, tlb, "run user mode");
    const core = this.machine.cpu(cpu);
    if (this.layout.pti && tlb.space) {
      const pending = (tlb.userPending & (1 << tlb.slot)) !== 0;
      tlb.userPending &= ~(1 << tlb.slot);
      const cr3 = tlb.space.cr3(this.node(cpu), "user", this.pcid(tlb.slot));
      core.writeCr3(this.options.pcid && !pending ? kept(cr3) : cr3);
    }
    core.privilege = 3;
  }

  enterKernel(cpu: CpuId): void {
    const tlb = this.of(cpu);
    const core = this.machine.cpu(cpu);
    core.privilege = 0;
    if (!this.layout.pti || !tlb.space) return;
    const cr3 = tlb.space.cr3(this.node(cpu), "kernel", this.pcid(tlb.slot));
    core.writeCr3(this.options.pcid ? kept(cr3) : cr3);
  }

  flush(space: AddressSpace, range: PageRange, freedTables: boolean, from: CpuId): void {
    const generation = this.generation(space) + 1;
    this.generations.set(space, generation);
    const sent = this.tell(space, freedTables, from, (cpu, tlb) => {
      this.flushOn(cpu, tlb, space, range, generation);
    });
    if (sent) this.counts.shootdowns++;
  }

  /** Has all CPUs act that are told of a space. @returns whether any but the sender was */
  private tell(
    space: AddressSpace,
    freedTables: boolean,
    from: CpuId,
    act: (cpu: CpuId, tlb: CpuTlb) => void,
  ): boolean {
    const wanted: CpuId[] = [];
    for (const cpu of this.state.online) if (this.hears(cpu, space, freedTables)) wanted.push(cpu);
    const told = wanted.includes(from) ? wanted.filter((cpu) => cpu !== from) : wanted;
    if (told.length > 0) this.machine.interrupt(from, told);
    this.state.haveAct(wanted, from, (cpu) => {
      // Whoever went elsewhere before the interrupt came has nothing to forget until it comes back.
      if (this.hears(cpu, space, freedTables)) act(cpu, this.of(cpu));
    });
    return told.length > 0;
  }

  /** Whether a CPU is told of a flush of a space. */
  private hears(cpu: CpuId, space: AddressSpace, freedTables: boolean): boolean {
    const tlb = this.of(cpu);
    return tlb.space === space && !tlb.away && (!tlb.lazy || freedTables);
  }

  private flushOn(cpu: CpuId, tlb: CpuTlb, space: AddressSpace, { start, pages }: PageRange, generation: number): void {
    const core = this.machine.cpu(cpu);
    const user = core.privilege === 3;
    if (user) this.enterKernel(cpu);
    // Whoever missed an earlier flush, lazily, would count as up to date with stale entries of other pages. @source
    // Linux commits 94b1b03b519b, b956575bed91
    const missed = tlb.generations[tlb.slot] !== generation - 1;
    if (missed || pages > SINGLE_PAGE_CEILING) this.write(cpu, space, tlb.slot, true);
    else {
      for (let page = 0; page < pages; page++) {
        core.invlpg(start + BigInt(page) * PAGE);
        if (this.layout.pti && this.options.pcid)
          core.invpcid(0, this.pcid(tlb.slot) + USER_PCID, start + BigInt(page) * PAGE);
      }
    }
    tlb.generations[tlb.slot] = generation;
    if (user) this.enterUser(cpu);
  }

  loadLdt(space: AddressSpace, ldt: Ldt, from: CpuId): void {
    this.ldts.set(space, ldt);
    // Whoever is on temporary tables has no LDT there, and takes what is there on the way back.
    this.tell(space, true, from, (_cpu, tlb) => {
      tlb.ldt = ldt;
    });
  }

  ldt(cpu: CpuId): Ldt | undefined {
    return this.of(cpu).ldt;
  }

  forget(space: AddressSpace): void {
    for (const [cpu, tlb] of this.cpus) {
      if (tlb.space === space) {
        if (tlb.away) tlb.space = undefined;
        else this.leave(cpu);
      }
      const slot = tlb.spaces.indexOf(space);
      if (slot >= 0) tlb.spaces[slot] = undefined;
    }
  }

  useOf(cpu: CpuId, pcid: number): PcidUse {
    const tlb = this.of(cpu);
    const { space, slot } = tlb;
    const missed = space !== undefined && !tlb.away && tlb.lazy && tlb.generations[slot] !== this.generation(space);
    // PCID 0 is init_mm's and that of temporary tables, and loaded with a flush always; without PCIDs it is
    // everybody's.
    if (pcid === 0) return missed && !this.options.pcid ? "lazy" : this.machine.cpu(cpu).pcid === 0 ? "used" : "owed";
    const of = (pcid % USER_PCID) - 1;
    const owner = tlb.spaces[of];
    if (!owner) return "owed";
    const isUser = pcid >= USER_PCID;
    if (isUser && (tlb.userPending & (1 << of)) !== 0) return "owed";
    if (owner === space && of === slot && !tlb.away) return !missed ? "used" : isUser ? "owed" : "lazy";
    return this.isFresh(cpu, tlb, of, owner) ? "used" : "owed";
  }

  expectedRoot(cpu: CpuId): number {
    const node = this.node(cpu);
    const { space, away } = this.of(cpu);
    if (away) return away.tables.root(node);
    return space ? space.pgd(node) : this.view.kernelRoot(node);
  }
}
