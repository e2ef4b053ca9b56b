/** Everything another package may see of the machine: interfaces, tokens, bit functions. */
export * from "./addr.js";
export type { CachedEntry, CachedTranslations } from "./cached.js";
export { Cr0, Cr4, Efer } from "./control-bits.js";
export * from "./cr3.js";
export * from "./errors.js";
export * from "./frame-number.js";
export * from "./ids.js";
export * from "./leaves.js";
export * from "./machine-api.js";
export * from "./memory-api.js";
export * from "./page-range.js";
export * from "./pte.js";
export { machineSpecFaults, type SpecFault } from "./check-spec.js";
export * from "./spec.js";
export * from "./table-walk.js";
