/** `kreplica check`: random interleavings against the invariants; a failure is shrunk, printed and can be replayed. */
import { readFileSync, writeFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { z } from "zod";
import type { MachineSpec } from "@kreplica/hw-x86";
import type { KernelImage } from "@kreplica/mm-core";
import { POLICIES } from "../assemble.js";
import type { BootOptions } from "../boot.js";
import { campaign, type CampaignResult, failureOf } from "../check/campaign.js";
import { sentenceOf } from "../check/check-failure.js";
import { DEFECTS, withDefect } from "../check/defects.js";
import { CORE_FAMILIES } from "../check/core-families.js";
import type { Comparison } from "../check/differential.js";
import { FAMILIES, repertoire } from "../check/families.js";
import { exploreSchedules } from "../check/schedules.js";
import { lateMemory, smallImage, smallMachine } from "../check/small-kernel.js";
import { InputError } from "../inputs/input-error.js";
import { findingsText } from "../report/check.js";
import { addKernelOption, type KernelOption, readKernelOption } from "./kernel-option.js";
import { type CommandContext, examples, exitCodes, jsonText } from "./command.js";
import { jsonOption, type JsonOption, levelsOption, policyOption } from "./options.js";
import { declareRules } from "./rules.js";
import { choiceOption, fileOption, numberOption, SEEDS } from "./values.js";

interface Options extends JsonOption, KernelOption {
  readonly policy: string; readonly nodes?: number; readonly levels?: "4" | "5"; readonly pti?: "on" | "off"; readonly kasan?: boolean;
  readonly steps: number; readonly runs: number; readonly seed: number; readonly replay?: string; readonly save?: string; readonly defect?: string;
  readonly only: "all" | "core"; readonly compare: Comparison; readonly schedules?: boolean;
}

/** What a counterexample file holds. */
const Saved = z.object({
  schema: z.literal("kreplica.counterexample/1"), policy: z.string(), nodes: z.number().int().min(1).max(64), memoryless: z.number().int().min(0).max(8),
  levels: z.union([z.literal(4), z.literal(5)]), pti: z.boolean(), kasan: z.boolean().optional(), defect: z.string().optional(), invariant: z.string(), operations: z.array(z.looseObject({ op: z.string() })),
});
interface Kind { readonly nodes: number; readonly memoryless: number; readonly levels: 4 | 5; readonly pti: boolean; readonly kasan?: boolean | undefined; readonly defect?: string | undefined }

const kernelOf = (policy: string, kind: Kind, image?: KernelImage): BootOptions => {
  const plain = plainKernel(policy, kind);
  const sound: BootOptions = image ? { ...plain, spec: roomy(plain.spec), image } : plain;
  return kind.defect === undefined ? sound : withDefect(sound, DEFECTS[kind.defect]!);
};
/** The same machine with room for a kernel of full size and its copies. */
const roomy = (spec: MachineSpec): MachineSpec => ({ ...spec, nodes: spec.nodes.map((node) => ({ ...node, memoryBytes: 4 * node.memoryBytes })) });
/** A node without memory gets some later, where the shadow of that is no question. */
const plainKernel = (policy: string, kind: Kind): BootOptions =>
  ({ ...(kind.memoryless === 1 && !kind.kasan ? lateMemory(kind.nodes) : { spec: smallMachine(kind.nodes, kind.memoryless) }), policy, levels: kind.levels, pti: kind.pti, ...(kind.kasan ? { kasan: true } : {}), image: smallImage() });

export function registerCheck(program: Command, context: CommandContext): void {
  declareRules(addKernelOption(program.command("check")
    .summary("look for the shortest way a policy goes wrong")
    .description("Random interleavings of fork, exec, exit, mmap, munmap, mprotect, mremap, touches, migrations, CPUs off and on line, hotplug, kernel mappings, areas, modules, text patching, memory protection and refused allocations, on small kernels: after each operation the rules it may have broken, at the end all of them, against the machine's own bytes, a model of what a user may see, and the same run with a single copy. What fails is shrunk to the shortest list of operations.")), [
    ...["--runs", "--steps", "--seed", "--only", "--compare"].map((option) => ({ option, not: "--schedules", because: "every schedule is gone through once, nothing is drawn" })),
    { beside: "--replay", only: ["--kernel", "--system-map"], because: "the file says what is run, and on which kernel" },
  ])
    .addOption(policyOption("who holds copies"))
    .addOption(numberOption("--nodes <number>", "nodes with memory", { least: 1, most: 64 }, "1, 2, 3 and 8 in turn"))
    .addOption(levelsOption())
    .addOption(choiceOption("--pti <on|off>", "kernel page-table isolation (default: both in turn)", ["on", "off"]))
    .addOption(new Option("--kasan", "kernels with KASAN's shadow"))
    .addOption(numberOption("--steps <number>", "operations of a run", { least: 1, most: 100_000 }, 200))
    .addOption(numberOption("--runs <number>", "runs", { least: 1, most: 10_000_000 }, 400))
    .addOption(numberOption("--seed <number>", "seeds the runs", SEEDS, 1))
    .addOption(choiceOption("--defect <id>", "lay a defect of the series over the corrected kernel", Object.keys(DEFECTS)))
    .addOption(choiceOption("--only <what>", "operations of the core alone (processes, pages, CPUs), many times faster; or all", ["all", "core"], "all"))
    .addOption(choiceOption("--compare <when>", "with the same run on a single-copy kernel: not, at its end, or after each operation", ["off", "end", "step"], "end"))
    .addOption(new Option("--schedules", "in place of random runs, small scenes with a second operation after every single table store of the first"))
    .addOption(new Option("--save <file>", "write the first counterexample there"))
    .addOption(fileOption("--replay <file>", "run a saved counterexample again"))
    .addOption(jsonOption())
    .addHelpText("after", examples(
      ["kreplica check", "the corrected series: nothing is found"],
      ["kreplica check --policy rfc-v1 --nodes 2", "the series as posted: how it goes wrong"],
      ["kreplica check --only core --runs 10000", "two million operations on sixteen kinds of kernel"],
      ["kreplica check --schedules --nodes 2 --levels 4 --pti off", "every schedule of small scenes, in a minute or two"],
      ["kreplica check --kernel /boot/vmlinuz --runs 16", "a kernel of one's own in place of the small one"],
      ["kreplica check --defect D7", "one of its defects alone, over the corrected series"],
      ["kreplica check --policy rfc-v1 --save bad.json; kreplica check --replay bad.json", "and again"],
    ) + exitCodes)
    .action(async (options: Options) => {
      const image = (await readKernelOption(options))?.("recorded");
      if (options.replay !== undefined) return replay(options.replay, context, options.json === true, image);
      // A kernel of full size boots in a second or two: two kinds of machine are enough where none is asked for.
      const kinds = (options.nodes === undefined ? image ? [2, 3] : [2, 1, 3, 8] : [options.nodes]).flatMap((nodes) =>
        (options.levels === undefined ? [4, 5] as const : [options.levels === "5" ? 5 : 4] as const).flatMap((levels) =>
          (options.pti === undefined ? [false, true] : [options.pti === "on"]).map((pti): Kind => ({ nodes, memoryless: nodes === 2 ? 1 : 0, levels, pti, ...(options.kasan ? { kasan: true } : {}), ...(options.defect === undefined ? {} : { defect: options.defect }) }))));
      if (options.defect !== undefined && options.policy !== "per-node") throw new InputError({ file: "--defect", reason: `laid over ${options.policy}, it could not be told from that policy's own ways`, remedy: "leave --policy out" });
      const kernels = kinds.map((kind) => kernelOf(options.policy, kind, image));
      context.progress.start(options.schedules ? kernels.length : options.runs, "checking");
      const onRun = (): void => { context.progress.step(1, "checking"); };
      const families = options.only === "core" ? CORE_FAMILIES : FAMILIES;
      const result = options.schedules ? allSchedules(kernels, onRun)
        : campaign({ runs: options.runs, steps: options.steps, seed: options.seed, comparison: options.compare, families, kernels, onRun });
      context.progress.stop();
      if (result.violations.length > 0) context.checkFailed();
      const first = result.violations[0];
      if (first && options.save !== undefined) writeFileSync(options.save, jsonText({ schema: "kreplica.counterexample/1", policy: options.policy, ...kinds[first.kernel]!, invariant: first.invariant, operations: first.operations }));
      const violations = result.violations.map(({ kernel, ...each }) => ({ ...each, sentence: sentenceOf(each.invariant), ...kinds[kernel]! }));
      if (options.json) return context.print(jsonText({ schema: "kreplica.check/1", policy: options.policy, ...(image ? { kernel: image.name } : {}), runs: result.runs, steps: result.steps, violations }));
      const { screen } = context;
      const text = findingsText(violations.map((each) => ({
        ...each, operations: each.operations.map((operation) => repertoire.describe(operation)), kernel: `${each.nodes} nodes, ${each.levels} levels, KPTI ${each.pti ? "on" : "off"}`,
      })), kinds.length, screen);
      const checked = `${options.policy}${options.defect === undefined ? "" : ` with ${options.defect}`}${image ? ` on ${image.name}` : ""}`;
      return context.print(`${checked}: ${result.runs} runs, ${result.steps} operations on ${kinds.length} kinds of kernel: ${violations.length === 0 ? screen.good("nothing found") : screen.bad(`${violations.length} kinds of kernel go wrong`)}\n${text === "" ? "" : `\n${text}`}`);
    });
}

/** As a campaign reports it: a run is a schedule. */
function allSchedules(kernels: readonly BootOptions[], onKernel: () => void): CampaignResult {
  const reports = kernels.map((kernel) => {
    const report = exploreSchedules(kernel);
    onKernel();
    return report;
  });
  return {
    runs: reports.reduce((sum, each) => sum + each.schedules, 0), steps: reports.reduce((sum, each) => sum + each.operations, 0), parted: 0,
    violations: reports.flatMap(({ broken }, kernel) => broken.map((each) => ({ ...each, kernel, seed: 0 }))),
  };
}

function replay(file: string, context: CommandContext, json: boolean, image?: KernelImage): void {
  let saved: z.infer<typeof Saved>;
  try {
    saved = Saved.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    const issue = error instanceof z.ZodError ? error.issues[0] : undefined;
    throw new InputError({ file, ...(issue ? { field: issue.path.join(".") } : {}), reason: issue?.message ?? (error as Error).message, remedy: "give a file that `kreplica check --save` wrote" });
  }
  if (POLICIES[saved.policy] === undefined) throw new InputError({ file, field: "policy", reason: `there is no policy ${saved.policy}`, remedy: `choose one of ${Object.keys(POLICIES).join(", ")}` });
  if (saved.defect !== undefined && DEFECTS[saved.defect] === undefined) throw new InputError({ file, field: "defect", reason: `there is no defect ${saved.defect}`, remedy: `choose one of ${Object.keys(DEFECTS).join(", ")}` });
  saved.operations.forEach((operation, index) => {
    const fault = repertoire.fault(operation);
    if (fault) throw new InputError({ file, ...fault, field: `operations[${index}].${fault.field}` });
  });
  const failure = failureOf(kernelOf(saved.policy, saved, image), saved.operations);
  if (failure) context.checkFailed();
  const violations = failure ? [{ invariant: failure.invariant, sentence: sentenceOf(failure.invariant), detail: failure.detail, operations: saved.operations }] : [];
  context.print(json
    ? jsonText({ schema: "kreplica.check/1", policy: saved.policy, runs: 1, steps: saved.operations.length, violations })
    : failure ? `${context.screen.bad(failure.invariant)} ${sentenceOf(failure.invariant)}\n  ${failure.detail}\n` : `${context.screen.good("nothing found")}: the counterexample for ${saved.invariant} no longer fails\n`);
}
