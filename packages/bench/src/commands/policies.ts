/** `kreplica policies`: the replication policies, one line each. */
import type { Command } from "commander";
import { POLICIES } from "../assemble.js";
import { hanging } from "../report/terminal.js";
import { type CommandContext, examples, exitCodes, jsonText } from "./command.js";
import { jsonOption, type JsonOption } from "./options.js";

export function registerPolicies(program: Command, context: CommandContext): void {
  program.command("policies")
    .summary("list the replication policies")
    .description("Who holds copies of the kernel, of what, and when a process gets page tables for a node. On one node every policy is a single copy.")
    .addOption(jsonOption())
    .addHelpText("after", examples(["kreplica policies", "all of them"], ["kreplica boot --policy text-only", "one of them at work"]) + exitCodes)
    .action((options: JsonOption) => {
      const all = Object.entries(POLICIES);
      context.print(options.json
        ? jsonText({ schema: "kreplica.policies/1", policies: all.map(([name, { summary }]) => ({ name, summary })) })
        : all.map(([name, { summary }]) => hanging(name, summary, context.screen, 14)).join(""));
    });
}
