/** What `kreplica machine --json` prints without a machine; with one it prints a machine file, kreplica.machine/1. */
import type { MachineSpec } from "@kreplica/hw-x86/api";

/** The machines that come with kreplica. */
export interface MachinesDocument {
  readonly schema: "kreplica.machines/1";
  readonly machines: readonly ListedMachine[];
}

/** A machine in one line. */
export interface ListedMachine {
  /** What `--machine` takes. */
  readonly name: string;
  readonly description: string;
  /** How many nodes. */
  readonly nodes: number;
  /** How many CPUs, hardware threads. */
  readonly cpus: number;
  /** Latency, bandwidth or topology is recalled, assumed or scaled. */
  readonly provisional: boolean;
}

/** @param machines in the order they are listed */
export const machinesDocument = (machines: readonly MachineSpec[]): MachinesDocument => ({
  schema: "kreplica.machines/1",
  machines: machines.map(({ name, description, nodes, cpus, provisional }) => ({
    name,
    description,
    nodes: nodes.length,
    cpus: cpus.length,
    provisional,
  })),
});
