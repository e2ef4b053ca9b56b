/** The machine as a plugin: checks the specification, then binds memory, counters and box. */
import { bind, bindValue, plugin, type Plugin } from "@kreplica/di";
import { checkMachineSpec } from "./check-spec.js";
import { MachineCounters, MachineMemory, NumaMachine } from "./machine.js";
import { Machine } from "./machine-api.js";
import { Counters, MachineParts, Specification } from "./machine-tokens.js";
import { PhysMemory } from "./memory-api.js";
import { standardParts } from "./standard-parts.js";
import type { MachineSpec } from "./spec.js";

/**
 * @param spec what the machine is; every assembly of the plugin gets a machine of its own
 * @throws MachineError "bad-spec"
 */
export function hwX86(spec: MachineSpec): Plugin {
  checkMachineSpec(spec);
  return plugin("hw-x86", [
    bindValue(Specification, spec),
    bind(PhysMemory, MachineMemory),
    bind(Counters, MachineCounters),
    bindValue(MachineParts, standardParts),
    bind(Machine, NumaMachine),
  ]);
}
