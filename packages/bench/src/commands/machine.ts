/** `kreplica machine`: lists the machines that come with kreplica, or shows one, the user's own included. */
import { InputError } from "@kreplica/inputs";
import { accountTexts, machineDocument, presets } from "@kreplica/machines";
import { extensions } from "@kreplica/kernel";
import { type Command, Option } from "commander";
import { loadMachine } from "../inputs/machine/load.js";
import { THIS } from "../inputs/machine/this-machine.js";
import { machineFolder } from "../report/machine-folder.js";
import { inputPath } from "../inputs/input-file.js";
import { machineListText, machineText } from "../report/machine.js";
import { jsonText } from "../report/documents/json-text.js";
import { machinesDocument } from "../report/documents/machines.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { baseOption, jsonOption, type JsonOption } from "./options.js";
import { remarkOn } from "./remarks.js";

/** Presets, and those of plugin files. */
const machines = () => [...presets, ...extensions().machines.values()];

export function registerMachine(program: Command, context: CommandContext): void {
  program
    .command("machine")
    .summary("list the machines, or show one with the source of every number")
    .description(
      "Without an argument: the machines that come with kreplica. With one: its nodes, CPUs, caches, TLBs, latency and bandwidth between nodes, costs, what is provisional, and what each number rests on.",
    )
    .argument(
      "[machines...]",
      `preset, or own machine: a JSON file (its schema: \`kreplica schema machine\`), the output of ${accountTexts.join(", ")}, tables of ACPI or a folder of them, a copy of /sys/devices/system/node, or \`this\`, the machine kreplica runs on; - is standard input; later ones refine earlier ones, of which the first may be a preset`,
      (path: string, before: readonly string[] | undefined) => [...(before ?? []), inputPath(path, "[machine]")],
    )
    .addOption(new Option("--this", "the machine kreplica runs on: the same as the name `this`"))
    .addOption(baseOption())
    .addOption(
      new Option(
        "--write <folder>",
        "write the machine there: machine.json, SRAT, SLIT and HMAT, options of QEMU, a picture (machine.svg)",
      ),
    )
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica machine", "the presets"],
        ["kreplica machine e5-2690v3-2s", "one of them in full"],
        ["kreplica machine e5-2690v3-2s --json > mine.json", "a file to start an own machine from"],
        ["numactl --hardware | kreplica machine -", "this computer, latencies from distances"],
        ["mlc >> box.txt; kreplica machine box.txt", "the same with measured latencies"],
        [
          "kreplica machine lscpu.txt mlc.txt",
          "several together: contradictions are listed, what nobody says is assumed",
        ],
        ["kreplica machine --this", "this computer: its files, and lscpu and cpuid where they are installed"],
        ["kreplica machine --this --write box", "its tables, options of QEMU for such a guest, its picture"],
      ) + exitCodes,
    )
    .action((given: readonly string[], options: JsonOption & { base?: string; this?: boolean; write?: string }) => {
      const named = options.this ? [...given, THIS] : given;
      if (named.length === 0) {
        if (options.base !== undefined)
          throw new InputError({
            file: "--base",
            reason: "given without a machine",
            remedy: "name a file or directory to complete with it",
          });
        if (options.write !== undefined)
          throw new InputError({
            file: "--write",
            reason: "given without a machine",
            remedy: "name the machine to write",
          });
        if (options.json) context.print(jsonText(machinesDocument(machines())));
        else context.print(machineListText(machines(), context.screen));
        return;
      }
      const machine = loadMachine(named, options.base);
      const folder = options.write === undefined ? undefined : machineFolder(options.write, "--write");
      remarkOn(context, machine);
      context.print(options.json ? jsonText(machineDocument(machine)) : machineText(machine, context.screen));
      if (folder) context.remark(folder.write(machine));
    });
}
