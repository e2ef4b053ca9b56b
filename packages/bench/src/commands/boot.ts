/**
 * `kreplica boot`: the boot step by step, what each did, what it cost in memory, and whether the replicas are right.
 */
import { type Booted, type Kernel, memoryCost, takeFootprint } from "@kreplica/kernel";
import type { Command } from "commander";
import { memoryCostText } from "../report/memory-cost.js";
import { bootDocument, type BootFindings } from "../report/documents/boot.js";
import type { Screen } from "../report/terminal.js";
import { hanging, renderTable, wrap } from "../report/terminal.js";
import { bytesText } from "../report/units.js";
import { jsonText } from "../report/documents/json-text.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import {
  addKernelChoices,
  bootChoices,
  KERNEL_CHOICE_RULES,
  type KernelChoices,
  readKernelChoices,
} from "./kernel-choices.js";
import { linkToBoot } from "./explorer-link.js";
import { jsonOption, type JsonOption } from "./options.js";
import { remarkOn } from "./remarks.js";
import { declareRules } from "./rules.js";

export function registerBoot(program: Command, context: CommandContext): void {
  declareRules(
    addKernelChoices(
      program
        .command("boot")
        .summary("boot the modelled kernel and show what each step did")
        .description(
          "Boots the traced kernel, or one of your own, on a machine, in the order of Linux with the series' four calls (marked *), and shows stores to page tables, memory by node and the invariants that hold afterwards.",
        ),
    ),
    KERNEL_CHOICE_RULES,
  )
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica boot", "a copy on each node of two E5-2690 v3"],
        ["kreplica boot --levels 5 --machine xeon-8480-2s", "five levels, on a machine whose addresses have 57 bits"],
        ["kreplica boot --kasan --levels 5 --machine xeon-8480-2s", "with KASAN's shadow: what the series excludes"],
        ["kreplica boot --policy single-copy", "the same kernel without the series"],
        [
          "kreplica boot --machine xeon-8260-8s --levels 4 --pti on --kaslr both --seed 7",
          "16 nodes, KPTI, everything placed at random: the image in any node's memory",
        ],
        ["kreplica boot --kernel /boot/vmlinuz", "a kernel of one's own, its bytes in every copy"],
      ) + exitCodes,
    )
    .action(async (options: KernelChoices & JsonOption) => {
      const { chosen, single } = await readKernelChoices(options);
      remarkOn(context, chosen.machine, options.policy);
      const kernel = bootChoices(chosen);
      const cost = memoryCost(takeFootprint(bootChoices(single)), takeFootprint(kernel));
      const report = kernel.checkInvariants();
      const memory = kernel.memory();
      const found = { memory, cost, report };
      if (report.violated.length > 0 || memory.extraBytes !== memory.closedForm || cost.unexplained !== 0)
        context.checkFailed();
      context.print(
        options.json ? jsonText(bootDocument(kernel, chosen, found)) : bootText(kernel, found, chosen, context.screen),
      );
      if (options.json || chosen.machine.nodes.length === 1) return;
      const { levels, pti, kasan } = kernel.layout;
      const link = await linkToBoot(
        {
          levels,
          pti,
          ...(kasan ? { kasan: true } : {}),
          policy: options.policy.name,
          machine: chosen.machine,
          machineFiles: [options.machine ?? []].flat(),
        },
        options,
      );
      if (link !== undefined) context.remark(`to step through such a boot, start kreplica explore, ${link}`);
    });
}

function bootText(
  kernel: Booted,
  { memory, cost, report }: BootFindings,
  { machine, policy }: Kernel,
  screen: Screen,
): string {
  const { layout, view } = kernel;
  const title = `${kernel.image.name} on ${machine.name}: ${policy.name}, ${layout.levels} levels, KPTI ${layout.pti ? "on" : "off"}${layout.kasan ? ", KASAN" : ""}, image on node ${view.master}, booted by CPU ${kernel.options.bootCpu} of node ${kernel.machine.nodeOfCpu(kernel.options.bootCpu)}`;
  const steps = kernel.timeline
    .map((event, at) =>
      hanging(
        // As the explorer counts them.
        `${String(at + 1).padStart(2)}${event.fromSeries ? "*" : " "} ${event.step}`,
        event.stores > 0
          ? `${event.did} (${event.stores} table stores${event.replicaStores > 0 ? `, ${event.replicaStores} of them for copies` : ""})`
          : event.did,
        screen,
        28,
      ),
    )
    .join("");
  const table = renderTable(
    [
      { head: "node" },
      { head: "text", align: "right" },
      { head: "rodata", align: "right" },
      { head: "tables", align: "right" },
    ],
    memory.perNode.map((node) => [
      `${node.node}`,
      bytesText(node.textBytes),
      bytesText(node.rodataBytes),
      bytesText(node.tableBytes),
    ]),
    screen,
  );
  const broken = report.violated
    .map((each) => hanging(screen.bad(each.id), each.sentence, screen, 4) + hanging("", each.detail, screen, 4))
    .join("");
  return (
    `${screen.bold(wrap(title, screen.columns).join("\n"))}\n\n${steps}\n${table}\n${memoryCostText(memory, cost, screen)}` +
    `  Invariants: ${report.checked.length} checked, ${report.violated.length === 0 ? screen.good("all hold") : screen.bad(`${report.violated.length} violated`)}, ${report.notReached.length} not reached\n${broken}`
  );
}
