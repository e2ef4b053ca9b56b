/**
 * kreplica as a library: boot a modelled kernel, choose or read a machine, read a recording. The command is `cli.ts`.
 */
export { InputError } from "@kreplica/inputs";
export { type Booted, type BootParts, POLICIES } from "@kreplica/kernel";
export type { KreplicaPlugin, KreplicaPluginExport, PluginKit } from "./plugin.js";
export { defaultPreset, preset, presets } from "@kreplica/machines";
export { Batch, readTraceBytes, TraceError } from "@kreplica/trace";
export { boot, type BootOptions } from "./boot.js";
export { loadMachine } from "./inputs/machine/load.js";
export { readTraceFile } from "./inputs/trace-file.js";
