/** Public surface of set-memory: permission changes as a plugin. */
import { bind, plugin } from "@kreplica/di";
import { SetMemory } from "./api.js";
import { TableSetMemory } from "./set-memory.js";

export * from "./api.js";
export { TableSetMemory };

/** Needs mm-core. */
export const setMemory = plugin("set-memory", [bind(SetMemory, TableSetMemory)]);
