/**
 * Options of the commands that boot a kernel: which kernel, which policy, how many levels, KPTI, KASLR, where the image
 * and the boot CPU are.
 */
import { InputError } from "@kreplica/inputs";
import type { Booted, Kernel, KernelPolicy } from "@kreplica/kernel";
import { type Command, Option } from "commander";
import { type Alignment, MmError, singleCopy } from "@kreplica/mm-core";
import { tracedKernel } from "../traced-kernel.js";
import { boot, kernelFrom } from "../boot.js";
import { addKernelOption, type KernelOption, readKernelOption } from "./kernel-option.js";
import {
  addMachineOptions,
  levelsOption,
  type MachineOptions,
  masterNodeOption,
  policyOption,
  ptiOn,
  ptiOption,
  readMachine,
} from "./options.js";
import type { Rule } from "./rules.js";
import { choiceOption, CPU_IDS, numberOption, SEEDS } from "./values.js";

export interface KernelChoices extends MachineOptions, KernelOption {
  readonly policy: KernelPolicy;
  readonly levels: "4" | "5";
  readonly pti: "on" | "off";
  readonly pcid: "on" | "off";
  readonly kaslr: "off" | "text" | "memory" | "both";
  readonly kasan?: boolean;
  readonly masterNode?: number;
  readonly bootCpu?: number;
  readonly alignment?: Alignment;
  readonly seed: number;
}

/** Adds them; read them with {@link readKernelChoices}. */
export const addKernelChoices = (command: Command): Command =>
  addKernelOption(addMachineOptions(command))
    .addOption(policyOption("who holds copies"))
    .addOption(levelsOption("4"))
    .addOption(ptiOption("off"))
    .addOption(choiceOption("--pcid <on|off>", "CPUs have PCIDs", ["on", "off"], "on"))
    .addOption(
      choiceOption(
        "--kaslr <what>",
        "what is placed at random, by --seed; text: where the image is linked, and where in all of memory it lies",
        ["off", "text", "memory", "both"],
        "off",
      ),
    )
    .addOption(new Option("--kasan", "with the shadow of a kernel that checks its accesses: an eighth of memory"))
    .addOption(masterNodeOption("the first with memory; with --kaslr text any, as drawn"))
    .addOption(numberOption("--boot-cpu <number>", "CPU that boots", CPU_IDS, "the first on which the policy comes up"))
    .addOption(
      choiceOption(
        "--alignment <how>",
        "ends of text and rodata: as recorded, or filled to 2 MiB (default: filled where there are copies)",
        ["recorded", "patch-06"],
      ),
    )
    .addOption(numberOption("--seed <number>", "with --kaslr: what is drawn", SEEDS, 1));

/** Rules of these options. */
export const KERNEL_CHOICE_RULES: readonly Rule[] = [{ option: "--seed", needs: "--kaslr", otherThan: ["off"] }];

/** The kernel chosen, and the same without the series. */
export interface ReadChoices {
  readonly chosen: Kernel;
  readonly single: Kernel;
}

/** @throws InputError */
export async function readKernelChoices(choices: KernelChoices): Promise<ReadChoices> {
  const image = await readKernelOption(choices);
  const chosen = kernelFrom({
    policy: choices.policy,
    spec: readMachine(choices),
    levels: choices.levels === "5" ? 5 : 4,
    pti: ptiOn(choices.pti),
    pcid: choices.pcid === "on",
    seed: choices.seed,
    kaslr: {
      text: choices.kaslr === "text" || choices.kaslr === "both",
      memory: choices.kaslr === "memory" || choices.kaslr === "both",
    },
    ...(choices.kasan === undefined ? {} : { kasan: choices.kasan }),
    ...(choices.masterNode === undefined ? {} : { masterNode: choices.masterNode }),
    ...(choices.bootCpu === undefined ? {} : { bootCpu: choices.bootCpu }),
    ...(choices.alignment === undefined ? {} : { alignment: choices.alignment }),
    ...(image ? { image } : {}),
  });
  // Patch 06 comes with the series: a kernel with one copy ends where its symbols say.
  return { chosen, single: chosen.with({ policy: singleCopy, alignment: singleCopy.alignment }) };
}

/** Boots what was chosen. @throws InputError also for what the kernel itself refuses */
export function bootChoices(kernel: Kernel): Booted {
  try {
    return boot(kernel);
  } catch (error) {
    if (!(error instanceof MmError)) throw error;
    throw new InputError({
      file: kernel.choices.image === tracedKernel ? kernel.machine.name : kernel.image.name,
      reason: error.message,
      remedy:
        error.code === "bad-image"
          ? "give the System.map of the same build with --system-map"
          : "give the node more memory, or choose a policy that copies less",
    });
  }
}
