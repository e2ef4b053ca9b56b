/** Everything another package may see of text patching. */
export * from "./boot/alternatives.js";
export * from "./boot/boot-patching.js";
export * from "./boot/branches.js";
export * from "./boot/calls.js";
export * from "./boot/optimise-nops.js";
export * from "./boot/patchable-text.js";
export * from "./encode.js";
export * from "./errors.js";
export * from "./sites/read-tables.js";
export * from "./sites/site.js";
