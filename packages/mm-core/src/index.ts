/** Public surface of mm-core: the kernel's core as plugins. */
export * from "./api.js";
