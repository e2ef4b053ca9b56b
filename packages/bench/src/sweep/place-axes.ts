/** Where a cell runs, by the rule of the options --cpu and --master-node. */
import type { MachineSpec } from "@kreplica/hw-x86";
import { type Placement, readPlacement } from "../commands/options.js";

/** @throws InputError as the options do */
export const placed = (
  { cpu, masterNode }: { readonly cpu: number | undefined; readonly masterNode: number | undefined },
  spec: MachineSpec,
): Placement =>
  readPlacement({ ...(cpu === undefined ? {} : { cpu }), ...(masterNode === undefined ? {} : { masterNode }) }, spec);
