/**
 * Everything another package may see of BPF: errors, what objects hold, ports towards the kernel, results of verifying.
 */
export * from "./errors.js";
export * from "./images-api.js";
export * from "./ports.js";
export type { BpfMemory } from "./memory.js";
export type { BpfObject, ObjectProgram, SourceLine } from "./object/read-object.js";
export type { MapDefinition, MapKind, ProgramType } from "./object/program-type.js";
export type { StructOpsDefinition } from "./object/read-struct-ops.js";
export type { BpfHost, LoadedProgram, LoadOptions } from "./load.js";
export type { Verified, VerifyRequest } from "./verify/verifier.js";
export type { VerifyStatistics } from "./verify/statistics.js";
