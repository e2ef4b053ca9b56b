/** Test helpers: a writer of small .ko files, a host without a kernel, and the contract of ModuleLoader. */
export { tinyHost } from "./small-host.js";
export { elfObject, tinyModule, type ObjectSection, type ObjectSymbol, type TinyModule } from "./small-module.js";
export { type LoaderSubject, moduleLoaderContract } from "./testing/module-loader-contract.js";
