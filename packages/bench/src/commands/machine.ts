/** `kreplica machine`: lists the machines that come with kreplica, or shows one, the user's own included. */
import { InputError } from "@kreplica/inputs";
import { accountTexts, machineDocument, presets } from "@kreplica/machines";
import { extensions } from "@kreplica/kernel";
import type { Command } from "commander";
import { loadMachine } from "../inputs/machine/load.js";
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
      `preset, or own machine: a JSON file (its schema: \`kreplica schema machine\`), the output of ${accountTexts.join(", ")}, or a copy of /sys/devices/system/node; - is standard input; later ones refine earlier ones, of which the first may be a preset`,
      (path: string, before: readonly string[] | undefined) => [...(before ?? []), inputPath(path, "[machine]")],
    )
    .addOption(baseOption())
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
        ["kreplica machine /sys/devices/system/node", "this computer, its sockets and cores as the firmware says"],
      ) + exitCodes,
    )
    .action((named: readonly string[], options: JsonOption & { base?: string }) => {
      if (named.length === 0) {
        if (options.base !== undefined)
          throw new InputError({
            file: "--base",
            reason: "given without a machine",
            remedy: "name a file or directory to complete with it",
          });
        if (options.json) context.print(jsonText(machinesDocument(machines())));
        else context.print(machineListText(machines(), context.screen));
        return;
      }
      const machine = loadMachine(named, options.base);
      remarkOn(context, machine);
      context.print(options.json ? jsonText(machineDocument(machine)) : machineText(machine, context.screen));
    });
}
