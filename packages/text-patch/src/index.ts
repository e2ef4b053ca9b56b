/** Public surface of text-patch: the primitives as a plugin. */
import { bind, plugin } from "@kreplica/di";
import { TextPoke } from "./api.js";
import { ReplicaTextPoke } from "./poke/text-poke.js";

export * from "./api.js";
export { PokingSpace } from "./poke/poking-space.js";
export { ReplicaTextPoke };

/** Needs mm-core. */
export const textPatch = plugin("text-patch", [bind(TextPoke, ReplicaTextPoke)]);
export { SingleText, TextReader, type WitnessedKernel } from "./witness/single-text.js";
export { PATCH_INVARIANTS } from "./witness/invariants.js";
export { phasesOf, type PatchWatcher, WitnessedTextPoke } from "./witness/witnessed-poke.js";
