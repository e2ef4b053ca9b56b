/** Options of the commands that boot a kernel: which kernel, which policy, how many levels, KPTI, KASLR, where the image and the boot CPU are. */
import { type Command, Option } from "commander";
import { MmError } from "@kreplica/mm-core";
import { POLICIES } from "../assemble.js";
import { boot, type Booted, type BootOptions } from "../boot.js";
import { InputError } from "../inputs/input-error.js";
import { addKernelOption, type KernelOption, readKernelOption } from "./kernel-option.js";
import { addMachineOptions, type MachineOptions, readMachine, wholeNumber } from "./options.js";

export interface KernelChoices extends MachineOptions, KernelOption {
  readonly policy: string;
  readonly levels: "4" | "5";
  readonly pti: "on" | "off";
  readonly pcid: "on" | "off";
  readonly kaslr: "off" | "text" | "memory" | "both";
  readonly kasan?: boolean;
  readonly masterNode?: number;
  readonly bootCpu?: number;
  readonly alignment?: "recorded" | "patch-06";
  readonly seed: number;
}

/** Adds them; read them with {@link readKernelChoices}. */
export const addKernelChoices = (command: Command): Command => addKernelOption(addMachineOptions(command))
  .addOption(new Option("--policy <name>", "who holds copies; `kreplica policies` lists them").choices(Object.keys(POLICIES)).default("per-node"))
  .addOption(new Option("--levels <number>", "levels of page tables").choices(["4", "5"]).default("4"))
  .addOption(new Option("--pti <on|off>", "kernel page-table isolation").choices(["on", "off"]).default("off"))
  .addOption(new Option("--pcid <on|off>", "CPUs have PCIDs").choices(["on", "off"]).default("on"))
  .addOption(new Option("--kaslr <what>", "what is placed at random, by --seed").choices(["off", "text", "memory", "both"]).default("off"))
  .addOption(new Option("--kasan", "with the shadow of a kernel that checks its accesses: an eighth of memory"))
  .addOption(new Option("--master-node <number>", "node that holds the kernel image (default: the first with memory)").argParser(wholeNumber("--master-node")))
  .addOption(new Option("--boot-cpu <number>", "CPU that boots (default: the first)").argParser(wholeNumber("--boot-cpu")))
  .addOption(new Option("--alignment <how>", "ends of text and rodata: as recorded, or filled to 2 MiB (default: filled where there are copies)").choices(["recorded", "patch-06"]))
  .addOption(new Option("--seed <number>", "seeds whatever is drawn").argParser(wholeNumber("--seed")).default(1));

/** The kernel chosen, and the same without the series. */
export interface ReadChoices { readonly chosen: BootOptions; readonly single: BootOptions }

/** @throws InputError */
export async function readKernelChoices(choices: KernelChoices): Promise<ReadChoices> {
  const image = await readKernelOption(choices);
  const both = {
    spec: readMachine(choices), levels: choices.levels === "5" ? 5 : 4, pti: choices.pti === "on", pcid: choices.pcid === "on", seed: choices.seed,
    kaslr: { text: choices.kaslr === "text" || choices.kaslr === "both", memory: choices.kaslr === "memory" || choices.kaslr === "both" },
    ...(choices.kasan === undefined ? {} : { kasan: choices.kasan }),
    ...(choices.masterNode === undefined ? {} : { masterNode: choices.masterNode }),
    ...(choices.bootCpu === undefined ? {} : { bootCpu: choices.bootCpu }),
  } as const;
  const aligned = (policy: string, alignment: "recorded" | "patch-06"): BootOptions => ({ ...both, policy, alignment, ...(image ? { image: image(alignment) } : {}) });
  // Patch 06 comes with the series: a kernel with one copy ends where its symbols say.
  return { chosen: aligned(choices.policy, choices.alignment ?? (choices.policy === "single-copy" ? "recorded" : "patch-06")), single: aligned("single-copy", "recorded") };
}

/** Boots what was chosen. @throws InputError also for what the kernel itself refuses */
export function bootChoices(options: BootOptions): Booted {
  try {
    return boot(options);
  } catch (error) {
    if (!(error instanceof MmError)) throw error;
    throw new InputError({ file: options.image?.name ?? options.spec.name, reason: error.message, remedy: error.code === "bad-image" ? "give the System.map of the same build with --system-map" : "give the node more memory, or choose a policy that copies less" });
  }
}
