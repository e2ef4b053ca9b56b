/** Which preset is nearest to a processor, so that what nobody said is filled from it. */
import type { MachineSpec, Vendor } from "@kreplica/hw-x86/api";
import { e52690v3 } from "../presets/e5-2690v3-2s.js";
import { epyc7713 } from "../presets/epyc-7713-2s.js";
import { xeon8280 } from "../presets/xeon-8280-4s.js";
import { xeon8480 } from "../presets/xeon-8480-2s.js";

/** Skylake and its successors with the same core, by CPUID model of family 6. */
const SKYLAKE = [0x4e, 0x5e, 0x55, 0x8e, 0x9e, 0xa5, 0xa6];
/** The first model of the cores after them (Ice Lake's server). */
const ICE_LAKE = 0x6a;

/** @returns the preset, and in words why it */
export function nearestFamily(
  vendor: Vendor | undefined,
  family: number | undefined,
  model: number | undefined,
): { readonly base: MachineSpec; readonly why: string } | undefined {
  if (vendor === undefined) return undefined;
  if (vendor === "amd") return { base: epyc7713, why: "the only AMD processor there is" };
  if (family !== 6 || model === undefined) return { base: e52690v3, why: "an Intel processor whose model is not told" };
  const name = `Intel family 6 model ${model}`;
  if (SKYLAKE.includes(model)) return { base: xeon8280, why: name };
  return { base: model >= ICE_LAKE && model !== 0x7a ? xeon8480 : e52690v3, why: name };
}
