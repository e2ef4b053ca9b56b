/** Where the processors of the presets stand on the axes of a map. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { presets, recordedGuest, tiny2Node } from "@kreplica/machines";
import { farOverNear } from "@kreplica/replay";
import { readPlacement } from "../commands/options.js";
import type { KnownProcessor } from "./documents/map.js";

/** As the axis of a plan has it: seen from the CPU that runs a test, to the node of the image. */
export function presetRatio(spec: MachineSpec): number {
  const { cpu, masterNode } = readPlacement({}, spec);
  return farOverNear(spec, cpu, masterNode);
}

/** All presets but the two that are nobody's: the guest of the recordings, and the one for tests. */
export const knownProcessors = (): KnownProcessor[] =>
  presets
    .filter((spec) => spec !== recordedGuest && spec !== tiny2Node)
    .map((spec) => ({
      name: spec.name,
      l2Bytes: spec.l2.bytes,
      farOverNear: presetRatio(spec),
      inclusion: spec.l3.inclusion,
    }));
