/**
 * Defects of the series that can be laid over a checked kernel, by their id in series.md 8.2: some are in how replication is decided, some
 * in the kernel's core, some in a subsystem's plugin that takes the place of the corrected one.
 */
import type { Plugin } from "@kreplica/di";
import type { KernelDefect } from "@kreplica/mm-core";
import { type BootDefect, PER_NODE, replicationBy, withDefects } from "@kreplica/numa-replication";
import type { BootOptions } from "../boot.js";
import { AREA_DEFECTS } from "./families/area-plugins.js";
import { PATCH_DEFECTS } from "./families/patch-defects.js";

/** One defect: one of the three. */
export interface Defect { readonly replication?: BootDefect; readonly core?: KernelDefect; readonly plugin?: Plugin }

export const DEFECTS: Readonly<Record<string, Defect>> = {
  D1: { replication: "D1" }, D2: { core: "D2" }, D3: { core: "D3" }, D4: { replication: "D4" }, D5: { plugin: PATCH_DEFECTS.D5 },
  D6: { plugin: AREA_DEFECTS.D6 }, D7: { plugin: AREA_DEFECTS.D7 }, D8: { core: "D8" }, D9: { replication: "D9" }, D10: { replication: "D10" },
  D11: { core: "D11" }, D14: { replication: "D14" }, D15: { replication: "D15" }, D16: { plugin: PATCH_DEFECTS.D16 }, N1: { plugin: PATCH_DEFECTS.N1 }, N2: { core: "N2" }, N3: { plugin: AREA_DEFECTS.N3 },
  "remote-table": { core: "remote-table" }, "copied-source": { replication: "copied-source" },
};

/** A kernel with a defect laid over the corrected series. */
export function withDefect(options: BootOptions, { replication, core, plugin }: Defect): BootOptions {
  return {
    ...options,
    ...(replication ? { policy: replicationBy(withDefects(PER_NODE, replication)) } : {}),
    ...(core ? { defects: new Set([...(options.defects ?? []), core]) } : {}),
    ...(plugin ? { plugins: [...(options.plugins ?? []), plugin] } : {}),
  };
}
