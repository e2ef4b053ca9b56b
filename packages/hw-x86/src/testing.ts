/**
 * For tests: small machines, slow models of the parts that nobody can doubt, and the contracts of PhysMemory
 * and TranslationBuffer.
 */
export * from "./testing/tiny-machine.js";
export * from "./testing/golden-trace.js";
export * from "./testing/slow-caches.js";
export * from "./testing/slow-translation.js";
export * from "./testing/golden-machine.js";
export * from "./testing/broken-promise.js";
export * from "./testing/phys-memory-contract.js";
export * from "./testing/translation-buffer-contract.js";
