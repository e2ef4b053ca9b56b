/** Test helpers: a writer of small .ko files, and a host without a kernel. */
export { tinyHost } from "./small-host.js";
export { elfObject, tinyModule, type ObjectSection, type ObjectSymbol, type TinyModule } from "./small-module.js";
