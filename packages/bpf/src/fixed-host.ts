/** A host of BPF programs that says the same whenever it is asked: for measurements, checks and tests. */
import type { CpuId, NodeId } from "@kreplica/hw-x86/api";
import type { HelperHost } from "./helpers/implementations.js";
import type { BpfHost } from "./load.js";
import type { BpfMemory } from "./memory.js";

/** The CPUs that programs run on: a machine, or what has as much of one. */
export interface HostCpus {
  readonly cpuIds: readonly CpuId[];
  nodeOfCpu(cpu: CpuId): NodeId;
}

/** A host on which `current` says which CPU runs the program. */
export interface FixedHost<Memory extends BpfMemory = BpfMemory> extends BpfHost {
  readonly memory: Memory;
  current: CpuId;
}

/**
 * @param memory what programs reach
 * @param answers what else than a millisecond on the clock, the number 4, and pid and tgid 1
 */
export const fixedHost = <Memory extends BpfMemory>(
  on: HostCpus,
  memory: Memory,
  answers: Partial<Pick<HelperHost, "now" | "random" | "task" | "trace">> = {},
): FixedHost<Memory> => ({
  memory,
  cpus: on.cpuIds.length,
  current: 0,
  cpu() {
    return this.current;
  },
  node() {
    return on.nodeOfCpu(this.current);
  },
  now: () => 1_000_000n,
  random: () => 4,
  task: () => ({ pidTgid: (1n << 32n) | 1n, name: "kreplica" }),
  trace: () => undefined,
  ...answers,
});
