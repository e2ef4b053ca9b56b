/** For tests: small machines, and slow models of the parts that nobody can doubt. */
export * from "./testing/tiny-machine.js";
export * from "./testing/golden-trace.js";
export * from "./testing/slow-caches.js";
export * from "./testing/slow-translation.js";
export * from "./testing/golden-machine.js";
