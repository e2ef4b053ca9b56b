/** `kreplica compare`: the recorded tests on a kernel with one copy and on one with a copy per node. */
import { InputError } from "@kreplica/inputs";
import { extensions, type KernelPolicy, POLICIES } from "@kreplica/kernel";
import { singleCopy } from "@kreplica/mm-core";
import {
  compare,
  comparePolicies,
  type CompareRequest,
  type CompareResult,
  defaultDataNode,
  type FirstSwitch,
  type KernelJob,
  mixGain,
  type PolicyAnswer,
  policyAnswer,
  rateCosts,
} from "@kreplica/replay";
import { type Command, Option } from "commander";
import { type NamedKernels, replayKernel } from "../inputs/replay-kernel.js";
import { reportedOf } from "../inputs/reported-file.js";
import { effortOf } from "../effort.js";
import { isLongRun } from "../inputs/trace-file.js";
import { chosenTraces } from "../inputs/traces.js";
import { runJobs } from "../run-jobs.js";
import { runLayouts } from "../run-layouts.js";
import { runTogether } from "../run-together.js";
import { compareDocument } from "../report/documents/compare.js";
import { machineCompareDocument } from "../report/documents/compare-nodes.js";
import { compareText } from "../report/compare.js";
import { compareShortText } from "../report/compare-short.js";
import { jsonText } from "../report/documents/json-text.js";
import { chosenRecordings, recordingNamed, refuse, tracesOption, testsOption } from "./chosen-recordings.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { addBusyOptions, BUSY_RULES, type BusyOption, busyOf, readAtOnce } from "./busy-option.js";
import { type LoadOption, loadOption, readLoad } from "./load-option.js";
import { addKernelOption, type KernelOption, kernelNamed } from "./kernel-option.js";
import {
  addMachineOptions,
  addPlacementOptions,
  jsonOption,
  type JsonOption,
  levelsOption,
  type MachineOptions,
  type PlacementOptions,
  policyOption,
  ptiOn,
  ptiOption,
  readMachine,
  readPlacement,
} from "./options.js";
import { addMixOptions, MIX_RULES, type MixOptions, readMix, readRates } from "./mix-options.js";
import { addPlacesOptions, listedPlaces, type PlacesOptions } from "./places-options.js";
import { type PressureOption, pressureOption, readPressure } from "./pressure-option.js";
import { remarkOn } from "./remarks.js";
import { addLayoutsOptions, LAYOUTS_RULES, type LayoutsOptions } from "./layouts-option.js";
import { declareRules } from "./rules.js";
import { choiceOption, fileOption, NODE_IDS, numberOption } from "./values.js";

/** What a comparison is of, read from a command line. */
export type CompareOptions = MachineOptions &
  KernelOption &
  LoadOption &
  BusyOption &
  PressureOption &
  PlacementOptions & {
    readonly dataNode?: number;
    readonly traces?: string;
    readonly test?: readonly string[];
    readonly policy: KernelPolicy;
    readonly levels: string;
    readonly pti: "on" | "off";
    readonly work: boolean;
    readonly reported?: string;
    readonly alignment?: boolean;
    readonly policies?: boolean;
    readonly recordedKernel?: string;
    readonly recordedNodes?: string;
  } & PlacesOptions &
  LayoutsOptions &
  MixOptions;

/** Tests of so much effort are brief enough that all policies can be asked of them beside any comparison. */
const BRIEF = 100_000;

/** What is shown of it. */
interface DetailOptions {
  readonly schema: "1" | "2";
  readonly why?: boolean;
  readonly memory?: boolean;
  readonly verbose?: boolean;
}

/** What a comparison is of, as options: `report` takes the same. */
export function addCompareOptions(command: Command): Command {
  return addPlacementOptions(addKernelOption(addMachineOptions(command)))
    .addOption(
      numberOption(
        "--data-node <number>",
        "node of the test's data",
        NODE_IDS,
        "the CPU's, or the nearest with memory",
      ),
    )
    .addOption(tracesOption())
    .addOption(
      fileOption(
        "--recorded-kernel <file>",
        "what was recorded, where it is not the kernel of the shipped recordings: its System.map, vmlinux or vmlinuz; tests are then named after their files",
      ),
    )
    .addOption(
      fileOption(
        "--recorded-nodes <nodes|file>",
        "nodes of the recorded guest, CPUS:SIZE each, 0,1:512M/2,3:512M, or a file with its `info numa` or `numactl --hardware` (default: numa.txt beside the recordings)",
      ),
    )
    .addOption(loadOption())
    .addOption(pressureOption())
    .addOption(testsOption())
    .addOption(policyOption("what is compared with a single copy"))
    .addOption(levelsOption("4"))
    .addOption(ptiOption("on"))
    .addOption(
      new Option(
        "--no-work",
        "leave out what replication itself does in fork, exec and exit: the difference is all it costs, lines it displaces included",
      ),
    )
    .addOption(
      fileOption(
        "--reported <file>",
        "gains somebody reported of this machine, to stand beside: JSON { source, machine, figures: [{ test, hot, cold }] } in percent, or CSV with the columns test, hot, cold (default: the authors', on their machine)",
      ),
    )
    .addOption(
      new Option(
        "--alignment",
        "measure what patch 06's alignment gains by itself in the long run, too: a third run of it",
      ),
    );
}

export function registerCompare(program: Command, context: CommandContext): void {
  const command = program
    .command("compare")
    // Before --no-work, which by itself would mean that the work's table is asked for by default.
    .addOption(new Option("--why", "show the gains in full with their bounds, every node, and where the cycles went"))
    .addOption(new Option("--memory", "show what the copies take, cause by cause, and the rules that were checked"))
    .addOption(new Option("--work", "show what replication itself does in the tests"))
    .addOption(
      new Option("-v, --verbose", "show all of that, what the figures are of, and the verdict again at the end"),
    )
    .summary("replay recorded kernel tests with and without replication (the main job)")
    .description(
      "Boots a kernel with one copy of its text and rodata, and one with a copy on every node; replays recorded system calls on both, caches hot and cold; prints what replication gains beside what its authors reported, on one screen; with --why, --memory, --work or -v also where the cycles went, what it costs, and whether the replicas are right.",
    );
  declareRules(addBusyOptions(addLayoutsOptions(addMixOptions(addPlacesOptions(addCompareOptions(command))))), [
    { option: "--schema", needs: "--json" },
    ...["--why", "--memory", "--work", "--verbose"].map((option) => ({
      option,
      not: "--json",
      because: "the document has all of it",
    })),
    ...["--why", "--memory", "--work"].map((option) => ({
      option,
      not: "--verbose",
      because: "-v shows it, too",
    })),
    ...LAYOUTS_RULES,
    ...MIX_RULES,
    ...BUSY_RULES,
    ...["--functions", "--pages"].map((option) => ({
      option,
      not: "--load",
      because: "its cycles are those of an idle machine",
    })),
    ...["--functions", "--pages"].map((option) => ({
      option,
      not: "--pressure",
      because: "its cycles are those of a machine whose other CPUs ask for nothing",
    })),
    { option: "--policies", not: "--cpu", because: "which does better is asked of the whole machine" },
    ...["--no-work", "--data-node", "--load", "--pressure"].map((option) => ({
      option,
      not: "--policies",
      because: "`kreplica policies --compare` has no such choice",
    })),
  ])
    .addOption(
      new Option(
        "--policies",
        "ask of all tests, long ones in part, which policy does better: takes three times as long (default: of those that take a moment)",
      ),
    )
    .addOption(new Option("--no-policies", "do not ask which policy does better"))
    .addOption(jsonOption())
    .addOption(
      choiceOption("--schema <1|2>", "form of the JSON document: 1 is without nodes and verdict", ["1", "2"], "2"),
    )
    .addHelpText(
      "after",
      examples(
        ["kreplica compare", "two E5-2690 v3, the machine of the RFC"],
        ["kreplica compare --machine epyc-7713-2s", "a machine with many small L3"],
        ["kreplica compare --why", "and where the cycles went"],
        ["kreplica compare --cpu 0", "one CPU in full, and no other node"],
        ["kreplica compare --test fork-1 kill --json", "two tests, as one JSON document"],
        ["kreplica compare --load link=0.7", "links between sockets busy with other traffic"],
        ["kreplica compare --busy 1,2,4,8 --test fork-1", "many CPUs at once, and how many decide the gain"],
        ["kreplica compare --test fork-1 --neighbour mmap/lock", "beside other cores that do something else"],
        ["kreplica compare --test fork-1 --smt", "on cores whose second thread does the same"],
        ["kreplica compare --mix strace.txt --cold-share 10", "weighted by the calls of one's own program"],
        ["kreplica compare --processes 2000 --forks-per-second 300", "what that many cost"],
        ["kreplica compare --pressure 2000", "other CPUs' data going through the last-level cache"],
        ["kreplica compare --layouts 8", "and how far another place of functions, pages and tables moves each figure"],
        ["kreplica compare --policy text-only", "another design: rodata stays where it was"],
        ["kreplica compare --policies", "and whether another design does better, asked of all tests"],
        [
          "kreplica compare --test fork-1 --functions 10 --pages 5",
          "which functions and pages of the text it is about",
        ],
        ["kreplica compare --traces recordings/", "recordings of one's own"],
        [
          "kreplica compare --traces recordings/ --recorded-kernel System.map",
          "of another kernel, its guest's nodes in recordings/numa.txt",
        ],
        ["kreplica compare --kernel /boot/vmlinuz", "on a kernel of one's own: recorded addresses by function"],
      ) + exitCodes,
    )
    .action(async (options: CompareOptions & JsonOption & DetailOptions) => {
      const result = await comparison(options, context, options.cpu === undefined);
      if (result.tests.length > 0)
        context.print(
          options.json
            ? jsonText(options.schema === "1" ? compareDocument(result) : machineCompareDocument(result))
            : options.verbose
              ? compareText(result, context.screen)
              : compareShortText(
                  result,
                  {
                    why: options.why ?? false,
                    memory: options.memory ?? false,
                    work: options.work ?? false,
                    alignment: options.alignment ?? false,
                  },
                  context.screen,
                ),
        );
      finish(result, context);
    });
}

/**
 * Boots, replays and measures what the options ask for.
 *
 * @param wholeMachine every node of it, not the CPU's alone @param look called with both booted kernels
 * @param timeLines of each run, where the text's cycles are told
 * @throws InputError for options that contradict the machine, and when no recording can be read
 */
export async function comparison(
  options: CompareOptions,
  context: CommandContext,
  wholeMachine = false,
  look?: CompareRequest["look"],
  timeLines = false,
): Promise<CompareResult<KernelJob & NamedKernels>> {
  const spec = readMachine(options);
  remarkOn(context, spec, options.policy);
  if (options.policy === singleCopy)
    context.remark(
      `--policy ${options.policy.name} is what every policy is compared with: both columns are the same kernel`,
    );
  const { cpu, masterNode } = readPlacement(options, spec);
  const dataNode = options.dataNode ?? defaultDataNode(spec, cpu);
  const withMemory = spec.nodes.filter((node) => node.memoryBytes > 0).map((node) => node.id);
  if (!withMemory.includes(dataNode))
    throw new InputError({
      file: "--data-node",
      reason: `${spec.name} has no node ${dataNode} with memory`,
      remedy: `choose one of ${withMemory.join(", ")}`,
    });
  const files = chosenTraces(options.traces);
  const kernel = kernelNamed(options);
  const recording = recordingNamed(options);
  if (recording && options.pti === "on")
    context.remark(
      "booted with page-table isolation, whatever the recorded kernel had, which a recording does not say; --pti off boots without",
    );
  const pressure = readPressure(options, spec, cpu);
  const given = {
    ...(kernel ? { kernel } : {}),
    ...(recording ? { recording } : {}),
    spec,
    where: { cpu, masterNode, dataNode },
    pti: ptiOn(options.pti),
    levels: options.levels === "5" ? (5 as const) : (4 as const),
    seed: 1,
    ...(pressure ? { pressure } : {}),
    work: options.work ?? true,
  };
  const { recordings, refused, tests } = chosenRecordings(files, options.test, recording !== undefined);
  if (recordings.length === 0) refuse(refused, context);
  const mix = readMix(options);
  const rates = readRates(options);
  const reported = options.reported === undefined ? undefined : reportedOf(options.reported, spec.name, tests);
  const load = readLoad(options, spec);
  const atOnce = readAtOnce(options, {
    spec,
    where: given.where,
    files,
    named: recording !== undefined,
    load,
  });
  const request = {
    ...(load ? { load } : {}),
    policy: options.policy,
    files: recordings,
    isLong: isLongRun,
    ...(reported ? { reported } : {}),
    alignment: options.alignment ?? false,
    wholeMachine,
    ...listedPlaces(options),
    ...(options.layouts === undefined
      ? {}
      : {
          layouts: {
            count: options.layouts,
            seed: options.layoutSeed ?? 1,
            run: (jobs: Parameters<typeof runLayouts>[0]) => runLayouts(jobs, context.progress),
          },
        }),
    timeLines,
    ...(look ? { look } : {}),
    ...(options.dataNode === undefined ? {} : { dataNode: options.dataNode }),
  };
  const replayed = await replayKernel(given);
  const [measured, policies] = await runTogether(
    (jobs: Parameters<typeof runJobs>[0]) => runJobs(jobs, context.progress),
    [(run) => compare(given, replayed, request, run), (run) => answerOf(options.policy, run)],
  );
  const busy = await busyOf(atOnce, options.dataNode, given, measured, context.progress);
  const firstSwitch = rates?.migrationsPerSecond === undefined ? undefined : await switchOf(options.policy);
  context.progress.stop();
  return {
    ...measured,
    ...(mix ? { mix: mixGain(mix, measured.tests, measured.machine) } : {}),
    ...(rates ? { rates: rateCosts(rates, measured, firstSwitch) } : {}),
    ...(policies ? { policies } : {}),
    ...(busy ? { busy } : {}),
    refused: [...refused, ...measured.refused, ...(busy?.refused ?? [])],
  };

  /** On the single fork, which says what making a PGD takes, else on all recordings that are run whole. */
  async function switchOf(policy: KernelPolicy): Promise<FirstSwitch | undefined> {
    const short = measured.tests.filter(({ file, cache }) => cache === "cold" && !isLongRun(file));
    const fork = short.filter(({ test }) => test.key === "fork1");
    const used = (fork.length > 0 ? fork : short).map(({ file }) => file);
    if (used.length === 0 || policy === singleCopy) return undefined;
    const compared = await comparePolicies(
      given,
      await replayKernel(given),
      { policies: [singleCopy, policy], files: used, isLong: isLongRun },
      (jobs) => runJobs(jobs, context.progress),
    );
    return compared.policies.find((each) => each.policy === policy)?.firstSwitch;
  }

  /** Which policy does better; undefined where that is not to be asked, or no brief test can say it. */
  async function answerOf(
    policy: KernelPolicy,
    run: Parameters<typeof comparePolicies>[3],
  ): Promise<PolicyAnswer | undefined> {
    const all = options.policies === true;
    const files = all ? recordings : askable() ? recordings.filter((file) => effortOf(file) <= BRIEF) : [];
    if (files.length === 0) return undefined;
    // One with defects is no answer, whatever it gains.
    const sound = [...Object.values(POLICIES), ...extensions().policies.values()].filter(
      ({ defects = [] }) => defects.length === 0,
    );
    try {
      const asked = { policies: [...new Set([...sound, policy])], files, isLong: isLongRun };
      return policyAnswer(await comparePolicies(given, replayed, asked, run), policy);
    } catch (error) {
      // Of recordings that cannot be used the comparison tells itself; who did not ask is not told of a policy that
      // this machine cannot have.
      if (!(error instanceof InputError) || all) throw error;
      return undefined;
    }
  }

  /** Whether another policy could be an answer, and would be compared on the same terms. */
  function askable(): boolean {
    return (
      options.policies !== false &&
      wholeMachine &&
      options.policy !== singleCopy &&
      withMemory.length > 1 &&
      options.work !== false &&
      options.dataNode === undefined &&
      load === undefined &&
      pressure === undefined
    );
  }
}

/**
 * What a comparison ends with once it is shown: the exit code by its checks and its refused recordings.
 *
 * @throws InputError the last of the recordings' faults
 */
export function finish({ invariants, memory, memoryCost, refused }: CompareResult, context: CommandContext): void {
  if (invariants.violated.length > 0 || memory.extraBytes !== memory.closedForm || memoryCost.unexplained !== 0)
    context.checkFailed();
  refuse(refused, context);
}
