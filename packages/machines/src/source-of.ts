/** Where a machine's description came from: what a fault that shows later is told about. */
import type { MachineSpec } from "@kreplica/hw-x86/api";

const sources = new WeakMap<MachineSpec, string>();

/** Keeps the file a machine was read from. @returns the machine */
export function readFrom(machine: MachineSpec, file: string): MachineSpec {
  sources.set(machine, file);
  return machine;
}

/** The file a machine was read from, or its name. */
export const sourceOf = (machine: MachineSpec): string => sources.get(machine) ?? machine.name;
