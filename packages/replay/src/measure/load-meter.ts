/**
 * What loading modules costs on the modelled machine: table stores and copied lines go through the caches of the CPU
 * that loads, shootdowns are interrupts it sends; the machine's counters, and its cost account, say how many cycles
 * that is.
 *
 * Modelled are the stores to tables, the lines of copied pages and the interrupts. Not modelled: the instructions
 * around them (a store is one, a copied line two), the page allocator, and the TLB misses that other CPUs have after a
 * flush.
 */
import { Counters, type CpuId, difference, type MachineSpec } from "@kreplica/hw-x86";
import type { ModuleKernel } from "@kreplica/kernel";
import type { VmArea } from "@kreplica/vmalloc";
import { kernelCycles, type KernelCycles } from "./kernel-cycles.js";

/** Core cycles of the CPU that loads, by cause, except `elsewhere`. */
export interface ModelledCycles {
  /** Stores to page tables. */
  readonly stores: number;
  /** Lines read and written to fill copies. */
  readonly copying: number;
  /** Interrupts sent for shootdowns. */
  readonly interrupts: number;
  /** Cycles all other CPUs together spend taking them. */
  readonly elsewhere: number;
  /** Sum of the first three; low and high over the machine's uncertain costs. */
  readonly total: { readonly low: number; readonly value: number; readonly high: number };
}

const NONE: ModelledCycles = {
  stores: 0,
  copying: 0,
  interrupts: 0,
  elsewhere: 0,
  total: { low: 0, value: 0, high: 0 },
};
const LINES = 64;

export const addCycles = (a: ModelledCycles, b: ModelledCycles): ModelledCycles => ({
  stores: a.stores + b.stores,
  copying: a.copying + b.copying,
  interrupts: a.interrupts + b.interrupts,
  elsewhere: a.elsewhere + b.elsewhere,
  total: { low: a.total.low + b.total.low, value: a.total.value + b.total.value, high: a.total.high + b.total.high },
});
export const sumCycles = (all: Iterable<ModelledCycles>): ModelledCycles => [...all].reduce(addCycles, NONE);

const meters = new WeakMap<ModuleKernel, LoadMeter>();

/** Watches a kernel's loads. */
export class LoadMeter {
  private readonly snapshot: (cpu: CpuId) => Float64Array;
  private readonly spec: MachineSpec;
  private copies: ModelledCycles = NONE;
  private begin: Float64Array = new Float64Array(0);
  private cpu: CpuId;

  private constructor(private readonly kernel: ModuleKernel) {
    const { assembly, machine, entries, vmalloc, cpus } = kernel;
    const counters = assembly.get(Counters);
    this.snapshot = (cpu) => counters.snapshot(cpu);
    this.spec = machine.spec;
    this.cpu = cpus.current;
    // Eight entries a line.
    entries.observe((table, index) => {
      const core = machine.cpu(this.cpu);
      core.storePhysical(table, index >> 3);
      core.retire(1);
    });
    const replicateAll = vmalloc.replicateAll.bind(vmalloc);
    vmalloc.replicateAll = (areas) => {
      const before = this.snapshot(this.cpu);
      const outcomes = replicateAll(areas);
      const tables = this.since(before);
      const filled = this.snapshot(this.cpu);
      for (const area of areas) this.chargeCopies(area);
      const lines = this.since(filled);
      this.copies = addCycles(this.copies, addCycles(tables, { ...lines, stores: 0, copying: lines.stores }));
      return outcomes;
    };
  }

  /** The kernel's meter; a kernel has one. @param cpu that loads from now on, and sends the shootdowns */
  static of(kernel: ModuleKernel, cpu: CpuId): LoadMeter {
    let meter = meters.get(kernel);
    if (!meter) meters.set(kernel, (meter = new LoadMeter(kernel)));
    meter.cpu = cpu;
    kernel.cpus.current = cpu;
    return meter;
  }

  /** Starts to count a load. */
  start(): void {
    this.copies = NONE;
    this.begin = this.snapshot(this.cpu);
  }

  /** Cycles since {@link start}: giving copies, and everything. */
  read(): { readonly copies: ModelledCycles; readonly all: ModelledCycles } {
    const whole = this.since(this.begin);
    return {
      copies: this.copies,
      all: { ...whole, stores: whole.stores - this.copies.copying, copying: this.copies.copying },
    };
  }

  /** Each line of the base copy is read, and written, once for each copy. */
  private chargeCopies(area: VmArea): void {
    const core = this.kernel.machine.cpu(this.cpu);
    for (const frames of area.copies.values()) {
      for (let page = 0; page < area.pages; page++) {
        for (let line = 0; line < LINES; line++) {
          core.loadPhysical(area.frames[page]!, line);
          core.storePhysical(frames[page]!, line);
          core.retire(2);
        }
      }
    }
  }

  private since(before: Float64Array): ModelledCycles {
    const nodeIndex = this.spec.nodes.findIndex(({ id }) => id === this.kernel.machine.nodeOfCpu(this.cpu));
    const counts = difference(before, this.snapshot(this.cpu));
    const at = (side?: "low" | "high"): KernelCycles => kernelCycles(counts, this.spec, nodeIndex, side);
    const { cycles, interrupts } = at();
    // Sending and taking an interrupt cost the same in this model, and each that is sent is taken once.
    return {
      stores: cycles - interrupts,
      copying: 0,
      interrupts,
      elsewhere: interrupts,
      total: { low: at("low").cycles, value: cycles, high: at("high").cycles },
    };
  }
}
