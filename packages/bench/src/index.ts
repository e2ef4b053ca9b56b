/** kreplica as a library: boot a modelled kernel, choose or read a machine, read a recording. The command is `cli.ts`. */
export { POLICIES } from "./assemble.js";
export { boot, type BootOptions, type Booted, type BootParts } from "./boot.js";
export { InputError } from "./inputs/input-error.js";
export { loadMachine } from "./inputs/machine/load.js";
export { defaultPreset, preset, presets } from "./inputs/presets/index.js";
export { Batch } from "./trace/batch.js";
export { readTrace, readTraceBytes } from "./trace/read-trace.js";
export { TraceError } from "./trace/trace-error.js";
