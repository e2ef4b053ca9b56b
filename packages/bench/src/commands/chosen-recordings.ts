/** Which recordings a command is about: those of the tests it names, by test or by file. */
import { didYouMean, InputError } from "@kreplica/inputs";
import { stemOf, testOf } from "@kreplica/trace";
import { guestNodes } from "../inputs/guest-nodes.js";
import type { NamedRecording } from "../inputs/replay-kernel.js";
import { traceFile } from "../inputs/trace-file.js";
import { Option } from "commander";
import type { CommandContext } from "./command.js";
import { fileOption } from "./values.js";

/** Where the recordings lie. */
export const tracesOption = (): Option =>
  fileOption("--traces <dir|file>", "KTRC1 recordings, plain or zstd (default: the RFC's seven tests, shipped)");

/** Which of them. */
export const testsOption = (): Option =>
  new Option("--test <names...>", "only these tests, by name (fork-1, mount, ...) or file");

/** What is compared: recordings, and the names of their tests; and what cannot be read. */
export interface Chosen {
  readonly recordings: readonly string[];
  readonly tests: readonly string[];
  readonly refused: readonly InputError[];
}

/** By test, or by file with or without its folder and ending. */
const isNamed = ({ names }: { readonly names: readonly [string, string] }, name: string): boolean =>
  names.includes(name) || (/\.kt(\.zst)?$/.test(name) && stemOf(name) === names[1]);

/**
 * The recordings of the tests named, by test or by file; all when none is.
 * @param option that names them
 * @throws InputError when a name is none of theirs
 */
export function chosenRecordings(
  files: readonly string[],
  names: readonly string[] | undefined,
  free: boolean,
  option = "--test",
): Chosen {
  const refused: InputError[] = [];
  const found = files.flatMap((file) => {
    try {
      return [{ file, names: [testOf(traceFile(file), free).name, stemOf(file)] as const }];
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      refused.push(error);
      return [];
    }
  });
  const known = [...new Set(found.map((each) => each.names[0]))];
  for (const name of names ?? []) {
    if (found.some((each) => isNamed(each, name))) continue;
    throw new InputError({
      file: option,
      reason: `no recording is of ${JSON.stringify(name)}`,
      remedy: didYouMean(name, known),
    });
  }
  const taken = found.filter((each) => names === undefined || names.some((name) => isNamed(each, name)));
  return {
    recordings: taken.map((each) => each.file),
    tests: [...new Set(taken.map((each) => each.names[0]))],
    refused,
  };
}

/** Tells every fault, each once; the last by throwing, which makes the exit code 2. */
export function refuse(faults: readonly InputError[], context: CommandContext): void {
  const each = faults.filter(({ message }, i) => faults.findIndex((other) => other.message === message) === i);
  for (const { message } of each.slice(0, -1)) context.remark(message);
  const last = each.at(-1);
  if (last) throw last;
}

/**
 * What was recorded, where it is not the traced kernel.
 * @throws InputError when the recordings or the guest's nodes are not named, too
 */
export function recordingNamed({
  recordedKernel,
  recordedNodes,
  traces,
}: {
  readonly recordedKernel?: string;
  readonly recordedNodes?: string;
  readonly traces?: string;
}): NamedRecording | undefined {
  if (recordedKernel === undefined) {
    if (recordedNodes !== undefined)
      throw new InputError({
        file: "--recorded-nodes",
        reason: "given without --recorded-kernel",
        remedy: "name the System.map or the kernel that was recorded",
      });
    return undefined;
  }
  if (traces === undefined)
    throw new InputError({
      file: "--recorded-kernel",
      reason: "given without --traces: what ships was recorded on the traced kernel",
      remedy: "name recordings of that kernel with --traces",
    });
  return { kernel: recordedKernel, nodes: guestNodes(recordedNodes, traces) };
}
