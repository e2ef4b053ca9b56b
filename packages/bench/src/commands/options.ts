/** Options that several commands share: same name, same words, same check everywhere. */
import { formatCpuList, InputError } from "@kreplica/inputs";
import { type KernelPolicy, perNode, policyForms, policyOf } from "@kreplica/kernel";
import { defaultPreset, presets } from "@kreplica/machines";
import { type Command, Option } from "commander";
import type { CpuId, MachineSpec, NodeId } from "@kreplica/hw-x86/api";
import { loadMachine } from "../inputs/machine/load.js";
import { choiceOption, CPU_IDS, filesOption, NODE_IDS, numberOption } from "./values.js";

export { wholeNumber } from "./values.js";

/** As commander fills them in. */
export interface MachineOptions {
  readonly machine?: string | readonly string[];
  readonly base?: string;
}
export interface PlacementOptions {
  readonly cpu?: number;
  readonly masterNode?: number;
}
export interface JsonOption {
  readonly json?: boolean;
}

/** `--base`, which {@link addMachineOptions} adds too. */
export const baseOption = (): Option =>
  new Option(
    "--base <name>",
    `preset for what the machine's files leave open (default: the nearest to the processor they name, else ${defaultPreset.name})`,
  );

/** `--json`; read it through {@link JsonOption}. */
export const jsonOption = (): Option => new Option("--json", "print one JSON document instead of text");

/** Adds `--machine` and `--base`; read them with {@link readMachine}. */
export const addMachineOptions = (command: Command): Command =>
  command
    .addOption(
      filesOption(
        "--machine <name|file|dir>",
        `preset, \`this\` (the machine kreplica runs on), or own machine: JSON, output of tools (\`kreplica machine --help\` lists them), or a copy of /sys/devices/system/node; may be given again, later ones refine earlier ones (default: ${defaultPreset.name})`,
      ),
    )
    .addOption(baseOption());

/** `--master-node`; {@link readPlacement} checks it. @param otherwise which node it is when not given */
export const masterNodeOption = (otherwise = "the first with memory"): Option =>
  numberOption("--master-node <number>", "node that holds the kernel image", NODE_IDS, otherwise);

/** `--policy`, whose value is the policy. @param what it decides */
export const policyOption = (what: string): Option =>
  listedPolicies(new Option("--policy <name>", `${what}; \`kreplica policies\` lists them`))
    .default(perNode, JSON.stringify(perNode.name))
    .argParser((name: string) => policyOf(name));

/** `--policy` of several. @param fallback those meant where none is given */
export const policiesOption = (what: string, fallback: readonly KernelPolicy[]): Option =>
  listedPolicies(new Option("--policy <names...>", `${what}; \`kreplica policies\` lists them`))
    .default(fallback, JSON.stringify(fallback.map(({ name }) => name)))
    .argParser((name: string, before: unknown) => [
      ...(before === fallback ? [] : (before as readonly KernelPolicy[])),
      policyOf(name),
    ]);

/** With their names in its help. */
const listedPolicies = (option: Option): Option => option.choices(policyForms());

/** `--levels`; 5 needs a machine whose addresses have 57 bits. */
export const levelsOption = (fallback?: "4" | "5"): Option =>
  choiceOption(
    "--levels <4|5>",
    fallback === undefined ? "levels of page tables (default: both in turn)" : "levels of page tables",
    ["4", "5"],
    fallback,
  );

/** `--pti`; read it with {@link ptiOn}. `--no-pti` is the same as `--pti off`, on every command that has it. */
export const ptiOption = (fallback?: "on" | "off"): Option =>
  choiceOption(
    "--pti <on|off>",
    `kernel page-table isolation; --no-pti is --pti off${fallback === undefined ? " (default: both in turn)" : ""}`,
    ["on", "off"],
    fallback,
  );

/** What `--pti` says; undefined: both in turn. */
export const ptiOn = <T extends "on" | "off" | undefined>(value: T): T extends undefined ? undefined : boolean =>
  (value === undefined ? undefined : value === "on") as T extends undefined ? undefined : boolean;

/** Adds `--cpu` and `--master-node`; read them with {@link readPlacement}. */
export const addPlacementOptions = (command: Command): Command =>
  command
    .addOption(
      numberOption("--cpu <number>", "CPU that runs the test", CPU_IDS, "the first on another node than the image"),
    )
    .addOption(masterNodeOption());

/** @throws InputError */
export function readMachine({ machine, base }: MachineOptions): MachineSpec {
  if (machine === undefined && base !== undefined)
    throw new InputError({
      file: "--base",
      reason: "given without --machine",
      remedy: `name a file with --machine, or a preset: ${presets.map((each) => each.name).join(", ")}`,
    });
  return machine === undefined ? defaultPreset : loadMachine(machine, base);
}

/** Who runs, and where the kernel's image lies. */
export interface Placement {
  readonly cpu: CpuId;
  readonly masterNode: NodeId;
}

/**
 * As the recordings were made unless told otherwise: the image on the first node with memory, the test on the first CPU
 * of the first other node that has CPUs; where no other node has any, on the first CPU there is.
 *
 * @throws InputError when the machine has no such CPU, or no memory on such a node
 */
export function readPlacement(options: PlacementOptions, machine: MachineSpec): Placement {
  const withMemory = machine.nodes.filter((node) => node.memoryBytes > 0).map((node) => node.id);
  const masterNode = options.masterNode ?? withMemory[0]!;
  if (!withMemory.includes(masterNode)) {
    const reason = machine.nodes.some((node) => node.id === masterNode)
      ? `node ${masterNode} of ${machine.name} has no memory`
      : `${machine.name} has no node ${masterNode}`;
    throw new InputError({ file: "--master-node", reason, remedy: `choose from ${formatCpuList(withMemory)}` });
  }
  const ids = machine.cpus.map((cpu) => cpu.id).sort((a, b) => a - b);
  if (options.cpu !== undefined) {
    if (!ids.includes(options.cpu))
      throw new InputError({
        file: "--cpu",
        reason: `${machine.name} has no CPU ${options.cpu}`,
        remedy: `choose from ${formatCpuList(ids)}`,
      });
    return { cpu: options.cpu, masterNode };
  }
  const others = machine.nodes.filter((node) => node.id !== masterNode).map((node) => node.id);
  const firstOn = (node: NodeId): CpuId | undefined =>
    ids.find((id) => machine.cpus.find((cpu) => cpu.id === id)!.node === node);
  const cpu = others.map(firstOn).find((id) => id !== undefined) ?? ids[0]!;
  return { cpu, masterNode };
}
