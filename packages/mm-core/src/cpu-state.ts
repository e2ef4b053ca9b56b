/** Which CPUs run the kernel, which of them acts, and how they are told to forget translations. */
import { inject, injectable, token } from "@kreplica/di";
import { type CpuId, Machine } from "@kreplica/hw-x86/api";
import { KernelLayout } from "./ports.js";

/** The kernel's view of its CPUs. */
export interface CpuState {
  /** CPU whose code runs now; sends the shootdowns. */
  current: CpuId;
  /** In the order in which they came up. */
  readonly online: ReadonlySet<CpuId>;
  bringUp(cpu: CpuId): void;
  takeDown(cpu: CpuId): void;
  /** flush_tlb_kernel_range: every CPU online forgets the range; more than 33 pages, and everything goes. */
  flushKernel(start: bigint, pages: number): void;
  /**
   * The same for several ranges, in one interrupt.
   * @param everyPcid a page of them was not global, so that an entry may lie under a PCID that is not loaded, which INVLPG does not reach: everything goes.
   *   Linux relies on kernel pages being global without KPTI, and is narrower here.
   */
  flushRanges(ranges: readonly { readonly start: bigint; readonly pages: number }[], everyPcid?: boolean): void;
  /** flush_tlb_all. */
  flushAll(): void;
  /** Shootdowns sent, each to all other CPUs online. */
  readonly shootdowns: number;
}
export const CpuState = token<CpuState>("mm-core/CpuState");

/** Above this many pages a full flush is cheaper. @source Documentation/arch/x86/tlb.rst, tlb_single_page_flush_ceiling */
export const SINGLE_PAGE_CEILING = 33;

@injectable()
export class OnlineCpus implements CpuState {
  current: CpuId = 0;
  shootdowns = 0;
  private readonly up = new Set<CpuId>();
  get online(): ReadonlySet<CpuId> { return this.up; }

  constructor(@inject(Machine) private readonly machine: Machine, @inject(KernelLayout) private readonly layout: KernelLayout) {}

  bringUp(cpu: CpuId): void { this.up.add(cpu); }
  takeDown(cpu: CpuId): void { this.up.delete(cpu); }

  flushKernel(start: bigint, pages: number): void { this.flushRanges([{ start, pages }]); }

  flushRanges(ranges: readonly { readonly start: bigint; readonly pages: number }[], everyPcid = false): void {
    const total = ranges.reduce((sum, range) => sum + range.pages, 0);
    if (total === 0) return;
    // Under KPTI the user PCID may hold the page too; one INVLPG reaches only the current one and global entries.
    const all = everyPcid || total > SINGLE_PAGE_CEILING || this.layout.pti;
    this.everywhere((cpu) => {
      if (all) this.machine.cpu(cpu).flushTranslations();
      else for (const { start, pages } of ranges) for (let page = 0; page < pages; page++) this.machine.cpu(cpu).invlpg(start + BigInt(page) * 4096n);
    });
  }

  flushAll(): void {
    this.everywhere((cpu) => this.machine.cpu(cpu).flushTranslations());
  }

  private everywhere(flush: (cpu: CpuId) => void): void {
    if (this.up.size === 0) return;
    this.shootdowns++;
    const others = [...this.up].filter((cpu) => cpu !== this.current);
    if (others.length > 0) this.machine.interrupt(this.current, others);
    for (const cpu of this.up) flush(cpu);
  }
}
