/** Kernels of a replay by their files' names, read once in a process, as workers do too. */
import { type RecordedKernel, recordedKernelFrom, type ReplayKernel, replayKernelOf } from "@kreplica/replay";
import { type GuestNode, shippedGuest } from "@kreplica/trace";
import { tracedKernel, tracedSymbols } from "../traced-kernel.js";
import { readKernelFile } from "./kernel-file.js";
import { readInput } from "./read-input.js";

/** What was recorded, as a job carries it: plain data. */
export interface NamedRecording {
  /** vmlinux, vmlinuz or System.map. */
  readonly kernel: string;
  readonly nodes: readonly GuestNode[];
}

/** A file and its System.map: plain data, as a job carries it. */
export interface NamedKernel {
  readonly file: string;
  readonly systemMap?: string;
}

/** Kernels of a job. */
export interface NamedKernels {
  readonly kernel?: NamedKernel;
  readonly recording?: NamedRecording;
}

/** The kernel of the recordings that ship. */
export const shippedKernel = (): RecordedKernel => ({
  name: tracedKernel("recorded").name,
  image: tracedKernel,
  symbols: tracedSymbols,
  guest: shippedGuest,
});

/** The traced kernel, for the recordings that ship. */
export const shippedReplay = (): ReplayKernel => replayKernelOf(shippedKernel(), false);

/** @throws InputError for a file that is neither a kernel nor a System.map, or cannot be read */
export function readRecordedKernel({ kernel: file, nodes }: NamedRecording): Promise<RecordedKernel> {
  const remedy = "name the vmlinux, vmlinuz or System.map of the recorded kernel";
  return recordedKernelFrom(readInput(file, remedy, "--recorded-kernel"), file, nodes);
}

const read = new Map<string, Promise<ReplayKernel>>();

/** @returns the traced kernel where none is named @throws InputError for a file that is no kernel */
export function replayKernel({ kernel, recording }: NamedKernels): Promise<ReplayKernel> {
  const key = JSON.stringify([kernel, recording]);
  let found = read.get(key);
  if (!found) read.set(key, (found = load(kernel, recording)));
  return found;
}

async function load(kernel: NamedKernel | undefined, recording: NamedRecording | undefined): Promise<ReplayKernel> {
  const recorded = recording ? await readRecordedKernel(recording) : shippedKernel();
  return replayKernelOf(
    recorded,
    recording !== undefined,
    kernel && (await readKernelFile(kernel.file, kernel.systemMap)),
  );
}
