/** Which CPUs run the kernel, which of them acts, and how they are told to forget translations: interface and token. */
import { token } from "@kreplica/di";
import type { CpuId, PageRange } from "@kreplica/hw-x86/api";

/** The kernel's view of its CPUs. */
export interface CpuState {
  /** CPU whose code runs now; sends the shootdowns. */
  current: CpuId;
  /** In the order in which they came up. */
  readonly online: ReadonlySet<CpuId>;
  bringUp(cpu: CpuId): void;
  takeDown(cpu: CpuId): void;
  /** flush_tlb_kernel_range: every CPU online forgets the range; more than 33 pages, and everything goes. */
  flushKernel(range: PageRange): void;
  /**
   * The same for several ranges, in one interrupt.
   * @param everyPcid a page of them was not global, so that an entry may lie under a PCID that is not loaded, which
   *   INVLPG does not reach: everything goes.
   *   Linux relies on kernel pages being global without KPTI, and is narrower here.
   */
  flushRanges(ranges: readonly PageRange[], everyPcid?: boolean): void;
  /** flush_tlb_all. */
  flushAll(): void;
  /** Shootdowns sent, each to all other CPUs online. */
  readonly shootdowns: number;
  /**
   * Has CPUs act on an interrupt, one after the other, and returns when all have. One with interrupts off acts when it
   * enables them, behind the others, and the sender waits for it.
   * @throws InvariantError when the sender has interrupts off: two that wait for each other would wait for good
   * @param from sends the interrupt, and acts itself where it is among them
   * @source Linux 6.5 kernel/smp.c smp_call_function_many_cond
   */
  haveAct(cpus: Iterable<CpuId>, from: CpuId, act: (cpu: CpuId) => void): void;
  /**
   * A CPU is told of nothing from now on.
   * @throws InvariantError when it has interrupts off already
   * @param rest what it has still to do before it enables them: done when somebody waits for it
   */
  disableInterrupts(cpu: CpuId, rest: () => void): void;
  /** Does what the CPU has still to do, if it has interrupts off. */
  enableInterrupts(cpu: CpuId): void;
  /** Tells somebody of each CPU that acted on an interrupt of {@link haveAct}, right behind it; of one at a time. */
  observeActing(observer: ((cpu: CpuId) => void) | undefined): void;
}
export const CpuState = token<CpuState>("mm-core/CpuState");

/**
 * Above this many pages a full flush is cheaper.
 * @source Documentation/arch/x86/tlb.rst, tlb_single_page_flush_ceiling
 */
export const SINGLE_PAGE_CEILING = 33;
