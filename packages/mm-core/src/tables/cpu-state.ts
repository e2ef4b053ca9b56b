/** CPUs that run the kernel, and the interrupts by which they are told to forget translations. */
import { inject, injectable } from "@kreplica/di";
import { type CpuId, Machine, PAGE, type PageRange } from "@kreplica/hw-x86/api";
import { invariant } from "../errors.js";
import { type CpuState, SINGLE_PAGE_CEILING } from "./cpu-state-api.js";
import { KernelLayout } from "../image/kernel-layout-api.js";

/** Which CPUs run the kernel, which of them acts, and how they are told to forget translations. */
@injectable()
export class OnlineCpus implements CpuState {
  current: CpuId = 0;
  shootdowns = 0;
  private readonly up = new Set<CpuId>();
  /** CPUs with interrupts off, and what they have still to do. */
  private readonly deaf = new Map<CpuId, () => void>();
  private observer: ((cpu: CpuId) => void) | undefined;
  get online(): ReadonlySet<CpuId> {
    return this.up;
  }

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(KernelLayout) private readonly layout: KernelLayout,
  ) {}

  bringUp(cpu: CpuId): void {
    this.up.add(cpu);
  }
  takeDown(cpu: CpuId): void {
    this.up.delete(cpu);
  }

  flushKernel(range: PageRange): void {
    this.flushRanges([range]);
  }

  flushRanges(ranges: readonly PageRange[], everyPcid = false): void {
    const total = ranges.reduce((sum, range) => sum + range.pages, 0);
    if (total === 0) return;
    // Under KPTI the user PCID may hold the page too; one INVLPG reaches only the current one and global entries.
    const all = everyPcid || total > SINGLE_PAGE_CEILING || this.layout.pti;
    this.everywhere((cpu) => {
      if (all) this.machine.cpu(cpu).flushTranslations();
      else
        for (const { start, pages } of ranges)
          for (let page = 0; page < pages; page++) this.machine.cpu(cpu).invlpg(start + BigInt(page) * PAGE);
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
    this.haveAct(this.up, this.current, flush);
  }

  haveAct(cpus: Iterable<CpuId>, from: CpuId, act: (cpu: CpuId) => void): void {
    invariant(!this.deaf.has(from), () => `CPU ${from} sends an interrupt and waits, and has interrupts off itself`);
    let late: CpuId[] | undefined;
    for (const cpu of cpus) {
      if (this.deaf.size !== 0 && this.deaf.has(cpu)) (late ??= []).push(cpu);
      else {
        act(cpu);
        this.observer?.(cpu);
      }
    }
    if (late === undefined) return;
    for (const cpu of late) {
      this.enableInterrupts(cpu);
      act(cpu);
      this.observer?.(cpu);
    }
  }

  disableInterrupts(cpu: CpuId, rest: () => void): void {
    invariant(!this.deaf.has(cpu), () => `CPU ${cpu} has interrupts off already`);
    this.deaf.set(cpu, rest);
  }

  enableInterrupts(cpu: CpuId): void {
    const rest = this.deaf.get(cpu);
    this.deaf.delete(cpu);
    rest?.();
  }

  observeActing(observer: ((cpu: CpuId) => void) | undefined): void {
    this.observer = observer;
  }
}
