/**
 * kreplica as a library: boot a modelled kernel, choose or read a machine, read a recording. The command is `cli.ts`.
 */
export { InputError } from "@kreplica/inputs";
export { Batch, readTraceBytes, TraceError } from "@kreplica/trace";
export { POLICIES } from "./policies.js";
export type { KreplicaPlugin, KreplicaPluginExport, PluginKit } from "./plugin-file.js";
export { boot, type BootOptions, type Booted, type BootParts } from "./boot.js";
export { loadMachine } from "./inputs/machine/load.js";
export { defaultPreset, preset, presets } from "@kreplica/machines";
export { readTraceFile } from "./inputs/trace-file.js";
