/** Defects of the series that can be laid over a checked kernel, by their id in series.md 8.2: each a plugin beside the corrected ones, or in the place of one. */
import type { Plugin } from "@kreplica/di";
import { PER_NODE, replicationBy, withDefects } from "@kreplica/numa-replication";
import type { BootOptions } from "../boot.js";
import { CORE_DEFECTS } from "./core-defects.js";
import { AREA_DEFECTS } from "./families/area-plugins.js";
import { PATCH_DEFECTS } from "./families/patch-defects.js";

/** One defect: a plugin laid over the kernel, or one that takes the place of the policy's; where it shows on some machines alone, such a machine of it. */
export interface Defect { readonly plugin?: Plugin; readonly policy?: Plugin; readonly machine?: (options: BootOptions) => BootOptions }

/** Of three nodes and more, the second is too small for a copy of the small kernel, and neighbours have the room. Memory that comes later would be taken for a holder's. */
const withSmallNode = ({ offlineMemory = [], ...options }: BootOptions): BootOptions => {
  const nodes = options.spec.nodes.map((node) => (offlineMemory.includes(node.id) ? { ...node, memoryBytes: 0 } : node));
  const few = nodes.filter((node) => node.memoryBytes > 0).length < 3;
  return { ...options, spec: { ...options.spec, nodes: few ? nodes : nodes.map((node) => (node.id === 1 ? { ...node, memoryBytes: 8 * 2 ** 20 } : node)) } };
};

const { D1, D2, D3, D4, D8, D9, D10, D11, D13, D14, N2, ...unnumbered } = CORE_DEFECTS;
const laid = (plugin: Plugin): Defect => ({ plugin });

export const DEFECTS: Readonly<Record<string, Defect>> = {
  D1: laid(D1), D2: laid(D2), D3: laid(D3), D4: laid(D4), D5: laid(PATCH_DEFECTS.D5), D6: laid(AREA_DEFECTS.D6), D7: laid(AREA_DEFECTS.D7), D8: laid(D8), D9: laid(D9),
  D10: laid(D10), D11: laid(D11), D12: laid(AREA_DEFECTS.D12), D13: laid(D13), D14: { plugin: D14, machine: withSmallNode },
  // Which tables user halves get is settled when room is reserved: a policy's business.
  D15: { policy: replicationBy(withDefects(PER_NODE, "D15")) },
  D16: laid(PATCH_DEFECTS.D16), N1: laid(PATCH_DEFECTS.N1), N2: laid(N2), N3: laid(AREA_DEFECTS.N3),
  "D10-growth": laid(unnumbered["D10-growth"]), "remote-table": laid(unnumbered["remote-table"]), "copied-source": laid(unnumbered["copied-source"]),
};

/** A kernel with a defect laid over the corrected series. */
export const withDefect = (given: BootOptions, { plugin, policy, machine }: Defect): BootOptions => {
  const options = machine ? machine(given) : given;
  return { ...options, ...(policy ? { policy } : {}), ...(plugin ? { plugins: [...(options.plugins ?? []), plugin] } : {}) };
};
