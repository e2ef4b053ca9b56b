/** The boot as others see it: its steps, what each did, and a place to add to one. */
import { token } from "@kreplica/di";
import type { CpuUnits } from "./cpu-areas.js";

/** Steps in the order of the boot. @source series.md 0.1: the four with a * are the series' own */
export const BOOT_STEPS = [
  "load-image",
  "setup-arch",
  "numa-reserve-memory",
  "sort-extable",
  "trap-init",
  "mm-core-init",
  "numa-replicate-kernel",
  "poking-init",
  "ftrace-init",
  "init-irq",
  "alternatives",
  "smp-init",
  "initcalls",
  "free-initmem",
  "mark-rodata-ro",
  "numa-replicate-rodata",
  "numa-clear-linear",
  "pti-finalize",
  "running",
] as const;
/** A step of the boot, by name. */
export type BootStep = (typeof BOOT_STEPS)[number];

/** One line of the timeline. */
export interface BootEvent {
  readonly step: BootStep;
  /** Its place in the order of the boot, from 1; steps that Linux does at one place share it. */
  readonly row: number;
  /** Added by the series. */
  readonly fromSeries: boolean;
  /** What was done, in words and counts. */
  readonly did: string;
  /** Table stores of this step, and those only replication needs. */
  readonly stores: number;
  readonly replicaStores: number;
  /** Page-table frames allocated in this step, over all nodes. */
  readonly tableFrames: number;
}

/** The kernel's boot. */
export interface KernelBoot {
  /** Runs all steps. @throws MmError when one is refused */
  run(): void;
  /** Runs steps up to and including one; later calls go on from there. */
  runTo(step: BootStep): void;
  /** Adds work to the end of a step. @returns a sentence for the timeline */
  during(step: BootStep, work: () => string): void;
  /** Steps done so far. */
  readonly timeline: readonly BootEvent[];
  /** Step done last, undefined before the first. */
  readonly reached: BootStep | undefined;
  /** First frame of each CPU's per-CPU unit, once set up. */
  readonly units: CpuUnits;
}
export const KernelBoot = token<KernelBoot>("mm-core/KernelBoot");
