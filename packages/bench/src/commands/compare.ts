/** `kreplica compare`: the recorded tests on a kernel with one copy and on one with a copy per node. */
import { type Command, Option } from "commander";
import { InputError } from "../inputs/input-error.js";
import { didYouMean } from "../inputs/nearest.js";
import { shippedTraces, tracesIn } from "../inputs/traces.js";
import { compare } from "../measure/compare.js";
import { defaultDataNode } from "../measure/placement.js";
import { runJobs } from "../measure/run-jobs.js";
import { compareDocument } from "../report/compare-json.js";
import { compareText } from "../report/compare.js";
import { testOf } from "../trace/peek.js";
import { type CommandContext, examples, exitCodes, jsonText } from "./command.js";
import { addKernelOption, type KernelOption, kernelNamed } from "./kernel-option.js";
import { addMachineOptions, addPlacementOptions, jsonOption, type JsonOption, levelsOption, type MachineOptions, type PlacementOptions, policyOption, readMachine, readPlacement } from "./options.js";
import { NODE_IDS, numberOption } from "./values.js";

type Options = MachineOptions & KernelOption & PlacementOptions & JsonOption & { readonly dataNode?: number; readonly traces?: string; readonly test?: readonly string[]; readonly policy: string; readonly levels: string; readonly pti: boolean; readonly work: boolean };

export function registerCompare(program: Command, context: CommandContext): void {
  const command = program.command("compare")
    .summary("replay recorded kernel tests with and without replication (the main job)")
    .description("Boots a kernel with one copy of its text and rodata, and one with a copy on every node; replays recorded system calls on both, caches hot and cold; prints what replication gains beside what its authors reported, where the cycles went, what it costs in memory, and whether the replicas are right.");
  addPlacementOptions(addKernelOption(addMachineOptions(command)))
    .addOption(numberOption("--data-node <number>", "node of the test's data", NODE_IDS, "the CPU's, or the nearest with memory"))
    .addOption(new Option("--traces <dir|file>", "KTRC1 recordings, plain or zstd (default: the RFC's seven tests, shipped)"))
    .addOption(new Option("--test <names...>", "only these tests, by name: fork-1, mount, ..."))
    .addOption(policyOption("what is compared with a single copy"))
    .addOption(levelsOption("4"))
    .addOption(new Option("--no-pti", "boot without page-table isolation; the recorded kernel had it"))
    .addOption(new Option("--no-work", "leave out what replication itself does in fork, exec and exit: the difference is all it costs, lines it displaces included"))
    .addOption(jsonOption())
    .addHelpText("after", examples(
      ["kreplica compare", "two E5-2690 v3, the machine of the RFC"],
      ["kreplica compare --machine epyc-7713-2s", "a machine with many small L3"],
      ["kreplica compare --cpu 0", "on the node that holds the image: nothing to gain"],
      ["kreplica compare --test fork-1 kill --json", "two tests, as one JSON document"],
      ["kreplica compare --policy text-only", "another design: rodata stays where it was"],
      ["kreplica compare --traces recordings/", "recordings of one's own"],
      ["kreplica compare --kernel /boot/vmlinuz", "on a kernel of one's own: recorded addresses by function"],
    ) + exitCodes)
    .action(async (options: Options) => {
      const spec = readMachine(options);
      const { cpu, masterNode } = readPlacement(options, spec);
      const dataNode = options.dataNode ?? defaultDataNode(spec, cpu);
      const withMemory = spec.nodes.filter((node) => node.memoryBytes > 0).map((node) => node.id);
      if (!withMemory.includes(dataNode)) throw new InputError({ file: "--data-node", reason: `${spec.name} has no node ${dataNode} with memory`, remedy: `choose one of ${withMemory.join(", ")}` });
      const files = options.traces === undefined ? shippedTraces() : tracesIn(options.traces);
      const kernel = kernelNamed(options);
      const given = { ...(kernel ? { kernel } : {}), spec, where: { cpu, masterNode, dataNode }, pti: options.pti, levels: options.levels === "5" ? 5 as const : 4 as const, seed: 1, work: options.work };
      const result = await compare(given, options.policy, chosen(files, options.test), (jobs) => runJobs(jobs, context.progress));
      context.progress.stop();
      context.print(options.json ? jsonText(compareDocument(result)) : compareText(result, context.screen));
      if (result.invariants.violated.length > 0 || result.memory.extraBytes !== result.memory.closedForm || result.memoryCost.unexplained !== 0) context.checkFailed();
    });
}

/** The recordings of the tests named; all when none is. @throws InputError, TraceError */
function chosen(files: readonly string[], names: readonly string[] | undefined): readonly string[] {
  if (names === undefined) return files;
  const tests = files.map((file) => ({ file, name: testOf(file).name }));
  for (const name of names) {
    if (!tests.some((each) => each.name === name)) throw new InputError({ file: "--test", reason: `no recording is of ${JSON.stringify(name)}`, remedy: didYouMean(name, [...new Set(tests.map((each) => each.name))]) });
  }
  return tests.filter((each) => names.includes(each.name)).map((each) => each.file);
}
