/**
 * `--busy`, `--neighbour` and `--smt`: how many CPUs of every node run each test at once, and what runs beside them.
 */
import { InputError } from "@kreplica/inputs";
import {
  type Beside,
  busyCurve,
  type BusyCurve,
  type CompareResult,
  cpusAtOnce,
  cpusBeside,
  type KernelJob,
  type Load,
} from "@kreplica/replay";
import { type Command, Option } from "commander";
import { type NamedKernels, replayKernel } from "../inputs/replay-kernel.js";
import type { Progress } from "../report/terminal.js";
import { runBusy } from "../run-busy.js";
import { neighbourRecording } from "./neighbour.js";
import type { Rule } from "./rules.js";

/** Points of a curve: each is a run of its own. */
const MOST_POINTS = 16;

/** As commander fills it in. */
export interface BusyOption {
  readonly busy?: string;
  readonly neighbour?: string;
  readonly smt?: boolean;
}

/** Who runs what at once. */
export interface AtOnce {
  /** CPUs of every node, ascending. */
  readonly cpusPerNode: readonly number[];
  readonly beside: Beside;
}

/** Adds nothing to what is shown without them, and takes no time. */
export const addBusyOptions = (command: Command): Command =>
  command
    .addOption(
      new Option(
        "--busy <numbers>",
        "run each test on so many CPUs of every node at once, too, one number after the other: the gain as a curve over them, like 1,2,4,8; all: every CPU (default: none; 1 beside --neighbour and --smt)",
      ),
    )
    .addOption(
      new Option(
        "--neighbour <recording[:test]>",
        "and have as many other cores of every node run another recording at the same time, behind the same last-level cache where there are any: a test of those compared, a file, or a test of a folder's (default: none)",
      ),
    )
    .addOption(
      new Option(
        "--smt",
        "and have the second thread of each of these cores run the same test, or with --neighbour that recording, in the same L1, L2 and TLBs",
      ),
    );

/** What they do not go with. */
export const BUSY_RULES: readonly Rule[] = ["--busy", "--neighbour", "--smt"].map((option) => ({
  option,
  not: "--pressure",
  because: "its CPUs have the data of recordings in the last-level cache",
}));

/** Where CPUs are chosen, and recordings. */
interface Choices {
  readonly spec: KernelJob["spec"];
  readonly where: KernelJob["where"];
  /** Recordings that are compared, before any was chosen; of a kernel that was named. */
  readonly files: readonly string[];
  readonly named: boolean;
  /** For traffic of CPUs that do as the measured one does there is no place beside others. */
  readonly load?: Load | undefined;
}

/**
 * @returns undefined where nothing was asked for
 * @throws InputError naming the part that is wrong
 */
export function readAtOnce(options: BusyOption, choices: Choices): AtOnce | undefined {
  const { busy, neighbour, smt = false } = options;
  const option = busy !== undefined ? "--busy" : neighbour !== undefined ? "--neighbour" : "--smt";
  if (busy === undefined && neighbour === undefined && !smt) return undefined;
  const cpusPerNode = readBusy(busy ?? "1", option, choices);
  const { spec, where, files, named } = choices;
  if (neighbour !== undefined || smt)
    for (const count of cpusPerNode) {
      const cpus = cpusAtOnce(spec, where, count);
      if (cpusBeside(spec, cpus, smt)) continue;
      throw new InputError({
        file: smt ? "--smt" : "--neighbour",
        reason: smt
          ? `not each of ${count} CPUs of every node of ${spec.name} has a core with a second thread for itself`
          : `a node of ${spec.name} has not so many cores that ${count} run the test and ${count} others something else`,
        remedy: smt
          ? "choose a machine whose cores have two threads, and with --busy no more CPUs than a node has cores"
          : "write smaller numbers after --busy, or choose a larger machine",
      });
    }
  return {
    cpusPerNode,
    beside: {
      ...(neighbour === undefined ? {} : { neighbour: neighbourRecording(neighbour, files, named) }),
      ...(smt ? { threads: true } : {}),
    },
  };
}

function readBusy(text: string, option: string, { spec, load }: Choices): number[] {
  const most = Math.max(...spec.nodes.map(({ id }) => spec.cpus.filter(({ node }) => node === id).length));
  const refuse = (reason: string, remedy: string): never => {
    throw new InputError({ file: option, reason, remedy });
  };
  if (load && load.cpusPerNode > 1)
    refuse(
      `--load ${load.text} has CPUs do what the measured one does, which here they do themselves`,
      "leave cpus= out",
    );
  const counts = text.split(",").map((part) => {
    const word = part.trim();
    if (word === "all") return most;
    if (!/^\d{1,4}$/.test(word) || Number(word) < 1 || Number(word) > most)
      refuse(
        `${JSON.stringify(word)} is not a number of CPUs from 1 to ${most}, which a node of ${spec.name} has`,
        "write numbers with commas between, like 1,2,4, or all",
      );
    return Number(word);
  });
  const different = [...new Set(counts)].sort((a, b) => a - b);
  if (different.length > MOST_POINTS)
    refuse(`${different.length} different numbers, of ${MOST_POINTS} at most`, "leave some of them out");
  return different;
}

/** The curve of each test that was compared; undefined where none was asked for. @param atOnce as it was read */
export async function busyOf(
  atOnce: AtOnce | undefined,
  dataNode: number | undefined,
  given: KernelJob & NamedKernels,
  measured: CompareResult,
  progress: Progress,
): Promise<BusyCurve | undefined> {
  const files = [...new Set(measured.tests.map(({ file }) => file))];
  if (!atOnce || files.length === 0) return undefined;
  const { policy, standing, loaded } = measured;
  return busyCurve(
    given,
    await replayKernel(given),
    {
      policy,
      files,
      ...atOnce,
      standing,
      ...(dataNode === undefined ? {} : { dataNode }),
      ...(loaded ? { load: loaded.load } : {}),
    },
    (jobs) => runBusy(jobs, progress),
  );
}
