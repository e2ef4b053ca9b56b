/** Everything another package may see of the kernel's core: ports, tokens, errors. */
export * from "./errors.js";
export * from "./ports.js";
