/** `--busy`: how many CPUs of every node run each test at once. */
import { InputError } from "@kreplica/inputs";
import { busyCurve, type BusyCurve, type CompareResult, type KernelJob, type Load } from "@kreplica/replay";
import { Option } from "commander";
import { type NamedKernels, replayKernel } from "../inputs/replay-kernel.js";
import type { Progress } from "../report/terminal.js";
import { runBusy } from "../run-busy.js";
import type { Rule } from "./rules.js";

/** Points of a curve: each is a run of its own. */
const MOST_POINTS = 16;

/** As commander fills it in. */
export interface BusyOption {
  readonly busy?: string;
}

/** Adds nothing to what is shown without it, and takes no time. */
export const busyOption = (): Option =>
  new Option(
    "--busy <numbers>",
    "run each test on so many CPUs of every node at once, too, one number after the other: the gain as a curve over them, like 1,2,4,8; all: every CPU (default: none)",
  );

/** What it does not go with. */
export const BUSY_RULES: readonly Rule[] = [
  {
    option: "--busy",
    not: "--pressure",
    because: "its CPUs have the data of the tests themselves in the last-level cache",
  },
];

/**
 * @param load for traffic of CPUs that do as the measured one does there is no place beside it
 * @returns how many CPUs of a node, ascending
 * @throws InputError naming the part that is wrong
 */
export function readBusy({ busy: text }: BusyOption, spec: KernelJob["spec"], load?: Load): number[] | undefined {
  if (text === undefined) return undefined;
  const most = Math.max(...spec.nodes.map(({ id }) => spec.cpus.filter(({ node }) => node === id).length));
  const refuse = (reason: string, remedy: string): never => {
    throw new InputError({ file: "--busy", reason, remedy });
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

/**
 * The curve of each test that was compared; undefined where none was asked for.
 * @param cpusPerNode as they were read
 */
export async function busyOf(
  cpusPerNode: readonly number[] | undefined,
  dataNode: number | undefined,
  given: KernelJob & NamedKernels,
  measured: CompareResult,
  progress: Progress,
): Promise<BusyCurve | undefined> {
  const files = [...new Set(measured.tests.map(({ file }) => file))];
  if (!cpusPerNode || files.length === 0) return undefined;
  const { policy, standing, loaded } = measured;
  return busyCurve(
    given,
    await replayKernel(given),
    {
      policy,
      files,
      cpusPerNode,
      standing,
      ...(dataNode === undefined ? {} : { dataNode }),
      ...(loaded ? { load: loaded.load } : {}),
    },
    (jobs) => runBusy(jobs, progress),
  );
}
