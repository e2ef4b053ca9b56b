/** Public surface of hw-x86: the machine plugin, its counters and the parts it is built from. */
export * from "./api.js";
export { checkMachineSpec } from "./check-spec.js";
export * from "./account.js";
export * from "./counters.js";
export { HardwareThread } from "./cpu.js";
export { NumaMachine } from "./machine.js";
export { Counters, MachineParts, Specification } from "./machine-tokens.js";
export { SparseMemory } from "./phys-memory.js";
export type { CoreCache, PageWalker, SharedCache, TranslationBuffer, WalkedCore } from "./parts.js";
export * from "./plugin.js";
export { type Victims, victimsOf } from "./replacement.js";
export { type FrontEnd, frontEndOf } from "./run-ahead.js";
export { standardParts } from "./standard-parts.js";
export { regionAt, Tlb } from "./tlb.js";
export { WALK_FAULT, Walker } from "./walker.js";
