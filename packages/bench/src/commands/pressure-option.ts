/** `--pressure`: how much data other CPUs push through the last-level cache that the measured one uses. */
import type { CpuId, MachineSpec } from "@kreplica/hw-x86/api";
import { InputError } from "@kreplica/inputs";
import { otherCores, type Pressure } from "@kreplica/replay";
import type { Option } from "commander";
import { numberOption, type Range } from "./values.js";

const MBS: Range = { least: 1, most: 1_000_000 };

/** As commander fills it in. */
export interface PressureOption {
  readonly pressure?: number;
}

/** Without it no figure moves. */
export const pressureOption = (): Option =>
  numberOption(
    "--pressure <number>",
    "data that each other core behind the last-level cache of the measured CPU reads through it, MB/s; a hot figure is then a mean over many runs",
    MBS,
    "none",
  );

/** @throws InputError where nobody shares the CPU's cache, or its node's memory has not so much to give */
export function readPressure(
  { pressure: mbsPerCore }: PressureOption,
  spec: MachineSpec,
  cpu: CpuId,
): Pressure | undefined {
  if (mbsPerCore === undefined) return undefined;
  const others = otherCores(spec, cpu).length;
  const refuse = (reason: string, remedy: string): never => {
    throw new InputError({ file: "--pressure", reason, remedy });
  };
  if (others === 0)
    refuse(
      `CPU ${cpu} of ${spec.name} shares its last-level cache with no other core`,
      "leave it out, or choose a CPU that has neighbours with --cpu",
    );
  const { node } = spec.cpus.find(({ id }) => id === cpu)!;
  const at = spec.nodes.findIndex(({ id }) => id === node);
  const peak = spec.bandwidthMBs[at]![at]!;
  // A node without memory has no peak of its own.
  if (peak > 0 && mbsPerCore * others > peak)
    refuse(
      `${others} other cores at ${mbsPerCore} MB/s ask for more than the ${peak} MB/s that node ${node} of ${spec.name} reads from its memory`,
      `write at most ${Math.floor(peak / others)}`,
    );
  return { mbsPerCore };
}
