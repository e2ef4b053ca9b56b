/** Public surface of hw-x86: the machine plugin, its counters and the parts it is built from. */
export * from "./api.js";
export * from "./account.js";
export * from "./check-spec.js";
export * from "./counters.js";
export { HardwareThread } from "./cpu.js";
export { NumaMachine } from "./machine.js";
export { Counters, Specification } from "./machine-tokens.js";
export { SparseMemory } from "./phys-memory.js";
export * from "./plugin.js";
