/** Axes that are options of `compare`, by the options' own rules: where a cell runs, and beside what. */
import type { CpuId, MachineSpec } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import type { Load, Pressure } from "@kreplica/replay";
import { readLoad } from "../commands/load-option.js";
import { type Placement, readPlacement } from "../commands/options.js";
import { readPressure } from "../commands/pressure-option.js";

/** @throws InputError as the options do */
export const placed = (
  { cpu, masterNode }: { readonly cpu: number | undefined; readonly masterNode: number | undefined },
  spec: MachineSpec,
): Placement =>
  readPlacement({ ...(cpu === undefined ? {} : { cpu }), ...(masterNode === undefined ? {} : { masterNode }) }, spec);

/** @throws InputError as the option does */
export const loadAt = (text: string, spec: MachineSpec): Load => readLoad({ load: text }, spec)!;

/** @throws InputError as the option does */
export function pressureAt(mbsPerCore: number | undefined, spec: MachineSpec, cpu: CpuId): Pressure | undefined {
  if (mbsPerCore === 0)
    throw new InputError({ file: "--pressure", reason: "0 MB/s are no pressure", remedy: "write null, or 1 and more" });
  return readPressure(mbsPerCore === undefined ? {} : { pressure: mbsPerCore }, spec, cpu);
}
