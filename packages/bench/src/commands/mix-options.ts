/** `--mix` and what goes with it: what the user's machine does, to weight and to multiply a comparison's figures by. */
import { InputError, readCallCounts } from "@kreplica/inputs";
import { hasRecordedCall, type Mix, RECORDED_CALLS, type Rates } from "@kreplica/replay";
import type { Command } from "commander";
import { readText } from "../inputs/read-input.js";
import type { Rule } from "./rules.js";
import { fileOption, numberOption } from "./values.js";

/** As commander fills them in. */
export interface MixOptions extends Rates {
  readonly mix?: string;
  readonly coldShare?: number;
}

/** MiB: a summary has a line for each of a few hundred calls and thread. */
const LARGEST = 16;
const RATES = { least: 1, most: 1_000_000_000 };
const REMEDY = "name a file with what strace -c, strace -cf or perf trace -s printed, or JSON";

/** Adds what says how tests are weighted. */
export const addWeightOptions = (command: Command): Command =>
  command
    .addOption(
      fileOption(
        "--mix <file>",
        `weights the tests by a program's system calls: what strace -c, strace -cf or perf trace -s printed, or JSON { calls: { NAME: CALLS } }; of the recordings are ${RECORDED_CALLS.map(({ leading, following }) => [leading.join(" "), ...(following.length > 0 ? [`with as many ${following.join(", ")}`] : [])].join(" ")).join("; ")}; others are told`,
      ),
    )
    .addOption(
      numberOption(
        "--cold-share <number>",
        "percent of the mix's calls that find the caches cold",
        { least: 0, most: 100 },
        "0",
      ),
    );

/** Adds all. */
export const addMixOptions = (command: Command): Command =>
  addWeightOptions(command)
    .addOption(numberOption("--processes <number>", "tells what so many processes' page tables take more", RATES))
    .addOption(numberOption("--forks-per-second <number>", "tells how much of the CPUs so many forks take more", RATES))
    .addOption(
      numberOption(
        "--migrations-per-second <number>",
        "tells the same of processes that move to a node they have not run on; runs the policy's first switch for it",
        RATES,
      ),
    );

/** @throws InputError for a file that is no such summary, or has no call that a recording is of */
export function readMix({ mix: file, coldShare = 0 }: MixOptions): Mix | undefined {
  if (file === undefined) return undefined;
  const calls = readCallCounts(readText(file, "--mix", LARGEST, REMEDY), file);
  if (!hasRecordedCall(calls))
    throw new InputError({
      file,
      reason: "has none of the system calls that recordings are of",
      remedy: `they are ${RECORDED_CALLS.flatMap(({ leading }) => leading).join(", ")}`,
    });
  return { file, calls, coldShare: coldShare / 100 };
}

/** What costs are to be multiplied by, where anything is. */
export function readRates({ processes, forksPerSecond, migrationsPerSecond }: MixOptions): Rates | undefined {
  if (processes === undefined && forksPerSecond === undefined && migrationsPerSecond === undefined) return undefined;
  return {
    ...(processes === undefined ? {} : { processes }),
    ...(forksPerSecond === undefined ? {} : { forksPerSecond }),
    ...(migrationsPerSecond === undefined ? {} : { migrationsPerSecond }),
  };
}

/** What goes with weights. */
export const WEIGHT_RULES: readonly Rule[] = [{ option: "--cold-share", needs: "--mix" }];

/** What goes with all. */
export const MIX_RULES: readonly Rule[] = [
  ...WEIGHT_RULES,
  ...["--no-work", "--data-node", "--load"].map((option) => ({
    option,
    not: "--migrations-per-second",
    because: "a first switch is run as `kreplica policies --compare` runs it, which has no such choice",
  })),
];
