/** `kreplica policies`: the replication policies, one line each; with `--measure`, what each costs. */
import { PARAMETERS, perNode, POLICIES } from "@kreplica/kernel";
import { policyCosts } from "@kreplica/replay";
import { type Command, Option } from "commander";
import { kernelFrom } from "../boot.js";
import { extensions } from "@kreplica/kernel";
import { policyCostText, policyListText } from "../report/policies.js";
import { jsonText } from "../report/documents/json-text.js";
import { measuredPoliciesDocument, policyListDocument } from "../report/documents/policies.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import {
  addMachineOptions,
  jsonOption,
  type JsonOption,
  levelsOption,
  type MachineOptions,
  readMachine,
} from "./options.js";
import { remarkOn } from "./remarks.js";
import { declareRules } from "./rules.js";
import { choiceOption } from "./values.js";

type Options = JsonOption &
  MachineOptions & { readonly measure?: boolean; readonly levels?: "4" | "5"; readonly pti?: "on" | "off" };

export function registerPolicies(program: Command, context: CommandContext): void {
  declareRules(
    addMachineOptions(
      program
        .command("policies")
        .summary("list the replication policies, or measure what each costs")
        .description(
          "Who holds copies of the kernel, of what, and when a process gets page tables for a node. On one node every policy is a single copy. With --measure each is booted, and processes forked, run and ended on it: bytes and stores to page tables that a single copy would not need.",
        ),
    ),
    ["--machine", "--base", "--levels", "--pti"].map((option) => ({ option, needs: "--measure" })),
  )
    .addOption(new Option("--measure", "boot each and count what it costs"))
    .addOption(levelsOption("4"))
    .addOption(choiceOption("--pti <on|off>", "kernel page-table isolation", ["on", "off"], "on"))
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica policies", "all of them"],
        ["kreplica policies --measure --machine xeon-8260-8s", "what each costs on 16 nodes"],
        ["kreplica boot --policy text-only", "one of them at work"],
        ["kreplica boot --machine xeon-8280-4s --policy groups:0-1,2-3", "one with a parameter: two copies"],
        ["kreplica compare --policy lazy-pgd", "what one of them gains"],
      ) + exitCodes,
    )
    .action((options: Options) => {
      const all = [...Object.values(POLICIES), ...extensions().policies.values()].map(({ name, summary }) => ({
        name,
        summary,
      }));
      if (options.measure !== true) {
        const parameters = Object.entries(PARAMETERS).map(([name, { form, about }]) => ({ name, form, about }));
        context.print(
          options.json
            ? jsonText(policyListDocument(all, parameters))
            : policyListText(all, parameters, context.screen),
        );
        return;
      }
      const kernel = kernelFrom({
        spec: readMachine(options),
        levels: options.levels === "5" ? 5 : 4,
        pti: options.pti !== "off",
      });
      remarkOn(context, kernel.machine, perNode);
      const costs = policyCosts(
        kernel,
        all.map(({ name }) => name),
      );
      context.print(
        options.json
          ? jsonText(measuredPoliciesDocument(kernel, all, costs))
          : policyCostText(kernel, costs, context.screen),
      );
      if (costs.some((each) => each.bootBytes !== each.closedForm || each.memory.unexplained !== 0))
        context.checkFailed();
    });
}
