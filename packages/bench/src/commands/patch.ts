/** `kreplica patch`: what one change of kernel text costs, against copies and CPUs. */
import { type KernelPolicy, perNode, replicates } from "@kreplica/kernel";
import { PATCH_SITES, patchCosts, type PatchSite, placesOf } from "@kreplica/replay";
import type { Command } from "commander";
import { singleCopy } from "@kreplica/mm-core";
import { kernelFrom } from "../boot.js";
import { patchText } from "../report/patch.js";
import { jsonText } from "../report/documents/json-text.js";
import { patchDocument } from "../report/documents/patch.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { addKernelOption, type KernelOption, readKernelOption } from "./kernel-option.js";
import {
  addMachineOptions,
  jsonOption,
  type JsonOption,
  type MachineOptions,
  policiesOption,
  readMachine,
  readPlacement,
} from "./options.js";
import { remarkOn } from "./remarks.js";
import { choiceOption, numberOption } from "./values.js";

type Options = MachineOptions &
  KernelOption &
  JsonOption & { readonly site: PatchSite; readonly policy: readonly KernelPolicy[]; readonly changes: number };

export function registerPatch(program: Command, context: CommandContext): void {
  const command = program
    .command("patch")
    .summary("what one change of kernel text costs, against copies and CPUs")
    .description(
      `Boots a kernel, changes a site in its text as Linux does, in every copy, and counts what it took. Sites:\n${Object.entries(
        PATCH_SITES,
      )
        .map(([site, what]) => `  ${site.padEnd(13)}${what}`)
        .join("\n")}`,
    );
  addKernelOption(addMachineOptions(command))
    .addOption(choiceOption("--site <kind>", "what is changed", Object.keys(PATCH_SITES), "jump_label"))
    .addOption(policiesOption("who holds copies", [singleCopy, perNode]))
    .addOption(
      numberOption(
        "--changes <number>",
        "changes to measure, after as many to warm up",
        { least: 1, most: 10_000 },
        16,
      ),
    )
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica patch", "a static key on two E5-2690 v3"],
        ["kreplica patch --site kprobe --machine xeon-8280-4s", "a probe on four sockets"],
        ["kreplica patch --kernel /boot/vmlinuz --json", "in a real kernel's text, as a JSON document"],
      ) + exitCodes,
    )
    .action(async (options: Options) => {
      const spec = readMachine(options);
      remarkOn(context, spec, options.policy.find(replicates));
      // The same text under every policy.
      const image = (await readKernelOption(options))?.("patch-06");
      const byNumber = [...spec.cpus].sort((a, b) => a.id - b.id);
      const first = byNumber[0]!;
      const cpus = [...new Set([1, spec.cpus.filter((cpu) => cpu.node === first.node).length, spec.cpus.length])].sort(
        (a, b) => a - b,
      );
      const place = placesOf(spec, readPlacement({}, spec).masterNode).find(({ node }) => node === first.node)!;
      const online = cpus.map((count) => ({
        cpus: count,
        nodes: [...new Set(byNumber.slice(0, count).map(({ node }) => node))].sort((a, b) => a - b),
      }));
      const costs = patchCosts(kernelFrom({ spec, image }), {
        site: options.site,
        policies: options.policy,
        cpus,
        changes: options.changes,
      });
      context.print(
        options.json
          ? jsonText(
              patchDocument({
                machine: spec.name,
                site: options.site,
                changes: options.changes,
                cpu: first.id,
                node: first.node,
                online,
                costs,
              }),
            )
          : patchText(
              {
                machine: spec.name,
                what: PATCH_SITES[options.site],
                costs,
                hertz: spec.hertz.value,
                cpu: first.id,
                place,
                online,
              },
              context.screen,
            ),
      );
    });
}
