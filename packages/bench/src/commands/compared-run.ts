/** What commands take that compare a policy with a single copy on one CPU: machine, placement, recordings, policy. */
import type { KernelPolicy } from "@kreplica/kernel";
import { defaultDataNode, type KernelJob } from "@kreplica/replay";
import type { Command } from "commander";
import { tracesOption } from "./chosen-recordings.js";
import type { CommandContext } from "./command.js";
import {
  addMachineOptions,
  addPlacementOptions,
  type MachineOptions,
  type PlacementOptions,
  policyOption,
  readMachine,
  readPlacement,
} from "./options.js";
import { remarkOn } from "./remarks.js";

/** As {@link addComparedOptions} and the command's own `--seed` fill it. */
export type ComparedOptions = MachineOptions &
  PlacementOptions & {
    readonly traces?: string;
    readonly policy: KernelPolicy;
    readonly seed: number;
  };

/** Adds `--machine`, `--base`, `--cpu`, `--master-node`, `--traces` and `--policy`. */
export const addComparedOptions = (command: Command): Command =>
  addPlacementOptions(addMachineOptions(command))
    .addOption(tracesOption())
    .addOption(policyOption("what is compared with a single copy"));

/** The replay that the options ask for: KPTI, 4 levels, data on the CPU's node. @throws InputError */
export function readCompared(options: ComparedOptions, context: CommandContext): Omit<KernelJob, "pressure"> {
  const spec = readMachine(options);
  remarkOn(context, spec, options.policy);
  const { cpu, masterNode } = readPlacement(options, spec);
  return {
    spec,
    where: { cpu, masterNode, dataNode: defaultDataNode(spec, cpu) },
    pti: true,
    levels: 4,
    seed: options.seed,
  };
}
