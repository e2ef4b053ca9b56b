/**
 * What a machine is made from, and what it counts: tokens for whoever assembles one. Not in `./api`: what runs on the
 * machine may not read its own score.
 */
import { token } from "@kreplica/di";
import type { CounterLayout } from "./counters.js";
import type { CpuId } from "./ids.js";
import type { MachineParts as Parts } from "./parts.js";
import type { MachineSpec } from "./spec.js";

/** What the assembly's machine is. */
export const Specification = token<MachineSpec>("hw-x86/MachineSpec");

/** The counters of the assembly's CPUs. */
export interface Counters {
  readonly layout: CounterLayout;
  /** The array the CPU counts in: live, to read and not to keep. */
  of(cpu: CpuId): Float64Array;
  /** CPUs that have counters, in the order of first use. */
  cpus(): CpuId[];
  /** A copy of a CPU's counters as they are now. */
  snapshot(cpu: CpuId): Float64Array;
}
export const Counters = token<Counters>("hw-x86/Counters");

/**
 * Makes the parts of the cores: TLBs, caches, walkers. To be overridden, or laid over, by whoever has one of his own.
 */
export type MachineParts = Parts;
export const MachineParts = token<MachineParts>("hw-x86/MachineParts");
