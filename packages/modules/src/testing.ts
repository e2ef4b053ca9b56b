/** Test helpers: a writer of small .ko files, and a host without a kernel. */
export { tinyHost } from "./testing/tiny-host.js";
export { elfObject, tinyModule, type ObjectSection, type ObjectSymbol, type TinyModule } from "./testing/tiny-module.js";
