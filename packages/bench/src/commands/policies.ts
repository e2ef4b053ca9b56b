/** `kreplica policies`: the replication policies, one line each; what each costs; all of them compared. */
import { extensions, type Kernel, type KernelPolicy, PARAMETERS, perNode, POLICIES } from "@kreplica/kernel";
import { defaultDataNode, type PolicyCost, policyCosts } from "@kreplica/replay";
import { type Command, Option } from "commander";
import { kernelFrom } from "../boot.js";
import { chosenTraces } from "../inputs/traces.js";
import { policyCostText, policyListText } from "../report/policies.js";
import { policyComparisonText } from "../report/policy-comparison.js";
import { runPolicies } from "../run-policies.js";
import { jsonText } from "../report/documents/json-text.js";
import { comparedPoliciesDocument } from "../report/documents/compared-policies.js";
import { type ListedPolicy, measuredPoliciesDocument, policyListDocument } from "../report/documents/policies.js";
import { chosenRecordings, refuse, tracesOption, testsOption } from "./chosen-recordings.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import {
  addMachineOptions,
  jsonOption,
  type JsonOption,
  levelsOption,
  type MachineOptions,
  policiesOption,
  ptiOn,
  ptiOption,
  readMachine,
  readPlacement,
} from "./options.js";
import { remarkOn } from "./remarks.js";
import { declareRules } from "./rules.js";
import { choiceOption } from "./values.js";

type Options = JsonOption &
  MachineOptions & {
    readonly measure?: boolean;
    readonly compare?: boolean;
    readonly policy: readonly KernelPolicy[];
    readonly test?: readonly string[];
    readonly traces?: string;
    readonly levels?: "4" | "5";
    readonly pti: "on" | "off";
    readonly schema: "1" | "2";
  };

export function registerPolicies(program: Command, context: CommandContext): void {
  declareRules(
    addMachineOptions(
      program
        .command("policies")
        .summary("list the replication policies, measure what each costs, or compare them all")
        .description(
          "Who holds copies of the kernel, of what, and when a process gets page tables for a node. On one node every policy is a single copy. With --measure each is booted, and processes forked, run and ended on it: bytes and stores to page tables that a single copy would not need. With --compare the recorded tests run on each, too, on every node: gain and cost side by side.",
        ),
    ),
    [
      ...["--machine", "--base", "--levels", "--pti", "--policy"].map((option) => ({
        option,
        needs: "--measure",
        or: "--compare",
      })),
      ...["--test", "--traces", "--schema"].map((option) => ({ option, needs: "--compare" })),
      { option: "--schema", needs: "--json" },
      { option: "--measure", not: "--compare", because: "that counts the costs, too" },
    ],
  )
    .addOption(new Option("--measure", "boot each and count what it costs"))
    .addOption(new Option("--compare", "replay the recorded tests on each, too: what it gains beside what it costs"))
    .addOption(policiesOption("only these, and those with a parameter", []))
    .addOption(tracesOption())
    .addOption(testsOption())
    .addOption(levelsOption("4"))
    .addOption(ptiOption("on"))
    .addOption(jsonOption())
    .addOption(choiceOption("--schema <1|2>", "form of the JSON document: 1 has the costs alone", ["1", "2"], "2"))
    .addHelpText(
      "after",
      examples(
        ["kreplica policies", "all of them"],
        ["kreplica policies --compare", "what each gains and what it costs"],
        ["kreplica policies --compare --policy per-node every-nth:4 --machine xeon-8260-8s", "two of them on 16 nodes"],
        ["kreplica policies --measure --machine xeon-8260-8s", "what each costs on 16 nodes"],
        ["kreplica boot --policy text-only", "one of them at work"],
        ["kreplica boot --machine xeon-8280-4s --policy groups:0-1,2-3", "one with a parameter: two copies"],
        ["kreplica compare --policy lazy-pgd", "what one of them gains"],
      ) + exitCodes,
    )
    .action(async (options: Options) => {
      const known: readonly KernelPolicy[] = [...Object.values(POLICIES), ...extensions().policies.values()];
      const chosen = options.policy.length > 0 ? [...new Set(options.policy)] : known;
      const listed = listedOf(chosen);
      if (options.compare === true) await compared(options, chosen, context);
      else if (options.measure === true) measured(options, chosen, context);
      else {
        const parameters = Object.entries(PARAMETERS).map(([name, { form, about }]) => ({ name, form, about }));
        context.print(
          options.json
            ? jsonText(policyListDocument(listed, parameters))
            : policyListText(listed, parameters, context.screen),
        );
      }
    });
}

const listedOf = (policies: readonly KernelPolicy[]): ListedPolicy[] =>
  policies.map(({ name, summary }) => ({ name, summary }));

const kernelOf = (options: Options): Kernel =>
  kernelFrom({
    spec: readMachine(options),
    levels: options.levels === "5" ? 5 : 4,
    pti: ptiOn(options.pti),
  });

const isWrong = (each: PolicyCost): boolean => each.bootBytes !== each.closedForm || each.memory.unexplained !== 0;

function measured(options: Options, policies: readonly KernelPolicy[], context: CommandContext): void {
  const kernel = kernelOf(options);
  remarkOn(context, kernel.machine, perNode);
  const costs = policyCosts(kernel, policies);
  context.print(
    options.json
      ? jsonText(measuredPoliciesDocument(kernel, listedOf(policies), costs))
      : policyCostText(kernel, costs, context.screen),
  );
  if (costs.some(isWrong)) context.checkFailed();
}

/** @throws InputError the last of the recordings' faults, where all else has been printed */
async function compared(options: Options, policies: readonly KernelPolicy[], context: CommandContext): Promise<void> {
  const { json, schema } = options;
  const kernel = kernelOf(options);
  const spec = kernel.machine;
  remarkOn(context, spec, perNode);
  const { cpu, masterNode } = readPlacement({}, spec);
  const files = chosenTraces(options.traces);
  const { recordings, refused } = chosenRecordings(files, options.test, false);
  if (recordings.length === 0) refuse(refused, context);
  const given = {
    spec,
    where: { cpu, masterNode, dataNode: defaultDataNode(spec, cpu) },
    pti: ptiOn(options.pti),
    levels: options.levels === "5" ? (5 as const) : (4 as const),
    seed: 1,
  };
  const comparison = await runPolicies(given, policies, recordings, context.progress);
  context.progress.stop();
  const costs = comparison.policies.map(({ cost }) => cost);
  context.print(
    !json
      ? policyComparisonText(comparison, context.screen)
      : jsonText(
          schema === "1"
            ? measuredPoliciesDocument(kernel, listedOf(policies), costs)
            : comparedPoliciesDocument(comparison),
        ),
  );
  if (costs.some(isWrong)) context.checkFailed();
  refuse([...refused, ...comparison.refused], context);
}
