/** Which preset is nearest to a processor, so that what nobody said is filled from it. */
import type { MachineSpec, Vendor } from "@kreplica/hw-x86/api";
import { e52682v4 } from "../presets/e5-2682v4-2s.js";
import { e52690v3 } from "../presets/e5-2690v3-2s.js";
import { epyc7713 } from "../presets/epyc-7713-2s.js";
import { epyc9654 } from "../presets/epyc-9654-2s.js";
import { xeon8180 } from "../presets/xeon-8180-2s.js";
import { xeon8260 } from "../presets/xeon-8260-8s.js";
import { xeon8280 } from "../presets/xeon-8280-4s.js";
import { xeon8480 } from "../presets/xeon-8480-2s.js";
import { xeon8592 } from "../presets/xeon-8592-2s.js";

/** Models of Intel's family 6: Broadwell; Skylake and its successors with the same core. */
const BROADWELL = [0x3d, 0x47, 0x4f, 0x56];
const SKYLAKE = [0x4e, 0x5e, 0x55, 0x8e, 0x9e, 0xa5, 0xa6];
/** The first model of the cores after them (Ice Lake's server), and a small core among them. */
const ICE_LAKE = 0x6a;
const GOLDMONT_PLUS = 0x7a;
/** Emerald Rapids, and what came after it. */
const EMERALD_RAPIDS = [0xcf, 0xad, 0xae];

/** AMD's family 25: Zen 3 up to this model of a server, Zen 4 from the next on. */
const FIRST_ZEN_4_MODEL = 0x10;
const ZEN_3_AGAIN = [0x20, 0x5f] as const;

/**
 * @param sockets as far as they are told: Skylake's presets differ in nothing else of what is taken from them
 * @returns the preset, and in words what it is the nearest to
 */
export function nearestFamily(
  vendor: Vendor | undefined,
  family: number | undefined,
  model: number | undefined,
  sockets = 2,
): { readonly base: MachineSpec; readonly why: string } | undefined {
  if (vendor === undefined) return undefined;
  if (vendor === "amd") {
    if (family === undefined) return { base: epyc7713, why: "an AMD processor whose family is not told" };
    return {
      base: isZen4(family, model) ? epyc9654 : epyc7713,
      why: `AMD family ${family}${model === undefined ? "" : ` model ${model}`}`,
    };
  }
  if (family !== 6 || model === undefined) return { base: e52690v3, why: "an Intel processor whose model is not told" };
  const why = `Intel family 6 model ${model}`;
  if (BROADWELL.includes(model)) return { base: e52682v4, why };
  if (SKYLAKE.includes(model)) return { base: sockets <= 2 ? xeon8180 : sockets <= 4 ? xeon8280 : xeon8260, why };
  if (EMERALD_RAPIDS.includes(model)) return { base: xeon8592, why };
  return { base: model >= ICE_LAKE && model !== GOLDMONT_PLUS ? xeon8480 : e52690v3, why };
}

/** Family 25 is Zen 3 and 4 by model; 26 and later are nearer to Zen 4. */
const isZen4 = (family: number, model = 0): boolean =>
  family > 25 || (family === 25 && model >= FIRST_ZEN_4_MODEL && !(model >= ZEN_3_AGAIN[0] && model <= ZEN_3_AGAIN[1]));
