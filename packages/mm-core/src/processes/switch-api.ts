/** Which tables CPUs have loaded: interface and token. */
import { token } from "@kreplica/di";
import type { CpuId, Frame, NodeId, PageRange } from "@kreplica/hw-x86/api";
import type { AddressSpace } from "./address-space-api.js";
import type { Ldt } from "./process-api.js";

/**
 * Tables of the kernel's own that a CPU loads for a while in place of what it has: the firmware's, the poking alias's.
 * Linux: efi_mm, poking_mm.
 */
export interface TemporaryTables {
  /** For messages. */
  readonly name: string;
  /** Root that CPUs of a node load. */
  root(node: NodeId): Frame;
}

/**
 * What becomes of the translations a CPU has under a PCID.
 *
 * used: it is loaded, or will be without a flush, so that they must say what the tables say; lazy: it is loaded by a
 * CPU that only borrows the space and was not told of a flush, so that pages may be out of date, and no table; owed:
 * all of it is flushed before it is used.
 */
export type PcidUse = "used" | "lazy" | "owed";

/** Address spaces on CPUs. */
export interface SwitchMm {
  /** The space a CPU has loaded, lazily or not, or comes back to from temporary tables; undefined is init_mm. */
  loaded(cpu: CpuId): AddressSpace | undefined;
  isLazy(cpu: CpuId): boolean;
  /** What stands in CR3 in the place of {@link loaded}'s PGD; undefined nearly always. */
  temporary(cpu: CpuId): TemporaryTables | undefined;
  /**
   * Whether the handler of an NMI that interrupts a CPU may access user memory of the task that runs there: not while
   * the CPU changes its tables, whose CR3 may be either, nor on another's.
   * @param space of the task, whatever the CPU has loaded
   * @source Linux 6.5 arch/x86/include/asm/tlbflush.h nmi_uaccess_okay
   */
  nmiMayAccess(cpu: CpuId, space: AddressSpace): boolean;
  /**
   * @patch 07/12 arch/x86/mm/tlb.c switch_mm_irqs_off
   * @returns whether CR3 was written
   * @throws InvariantError on temporary tables
   */
  switchTo(cpu: CpuId, space: AddressSpace): boolean;
  /** A kernel thread: the space stays loaded, borrowed. */
  idle(cpu: CpuId): void;
  /**
   * init_mm's own root: before a CPU goes away, or when the space it borrows dies.
   * @patch 07/12 arch/x86/mm/tlb.c initialize_tlbstate_and_flush
   * @throws InvariantError on temporary tables
   */
  leave(cpu: CpuId): void;
  /**
   * Loads tables of the kernel's own, under PCID 0 and with nothing kept of their last time. What the CPU had is held:
   * its PGDs stay until {@link leaveTemporary}, no flush of it comes here meanwhile, and what was missed is made up on
   * the way back.
   * @throws InvariantError when the CPU is on temporary tables already
   * @source Linux 6.5 arch/x86/kernel/alternative.c use_temporary_mm
   */
  enterTemporary(cpu: CpuId, tables: TemporaryTables): void;
  /**
   * Back to what {@link enterTemporary} found; to init_mm when that space has died meanwhile.
   * @throws InvariantError when the CPU is not on temporary tables
   */
  leaveTemporary(cpu: CpuId): void;
  /**
   * Entry to and exit from user mode: under KPTI the other half of the pair.
   * @throws InvariantError on temporary tables
   */
  enterUser(cpu: CpuId): void;
  enterKernel(cpu: CpuId): void;
  /**
   * Flushes [start, start + pages) of a space from every CPU that may hold it.
   * @param freedTables lazily loaded CPUs too
   */
  flush(space: AddressSpace, range: PageRange, freedTables: boolean, from: CpuId): void;
  /**
   * Makes an LDT that of a space: every CPU that has the space loaded, lazily too, loads its address and limit, all
   * others when they switch to it. The old one may go when this has returned.
   * @source Linux 6.5 arch/x86/kernel/ldt.c install_ldt
   * @param from CPU that sends the interrupt
   */
  loadLdt(space: AddressSpace, ldt: Ldt, from: CpuId): void;
  /** What a CPU's LDTR leads to; undefined with a limit of 0. */
  ldt(cpu: CpuId): Ldt | undefined;
  /** Lets no CPU keep the space; before its tables are freed. */
  forget(space: AddressSpace): void;
  /** What the CPU will do with what it has cached under a PCID; for checks. */
  useOf(cpu: CpuId, pcid: number): PcidUse;
  /** Root a debug build expects in CR3. @patch 07/12 arch/x86/mm/tlb.c */
  expectedRoot(cpu: CpuId): number;
  /** CR3 writes that switches made, and flushes by interrupt. */
  readonly counts: { readonly switches: number; readonly writes: number; readonly shootdowns: number };
}
export const SwitchMm = token<SwitchMm>("mm-core/SwitchMm");
