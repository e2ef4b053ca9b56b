/** Everything another package may see of the machine: interfaces, tokens, bit functions. */
export * from "./addr.js";
export * from "./ids.js";
export * from "./machine-api.js";
export * from "./memory-api.js";
export * from "./pte.js";
export * from "./spec.js";
