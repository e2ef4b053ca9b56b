/**
 * The kernel a recording is replayed on, and the one it was made on, when they are not both the traced one: read from
 * their files once in a process, as workers do too.
 */
import { bootableImage } from "@kreplica/kernel-files";
import type { KernelImage } from "@kreplica/mm-core";
import { readKernelFile } from "../inputs/kernel-file.js";
import { OtherKernel } from "./other-kernel.js";
import { type NamedRecording, readRecordedKernel, type RecordedKernel, shippedKernel } from "./recorded-kernel.js";

/** A file and its System.map: plain data, as a job carries it. */
export interface NamedKernel {
  readonly file: string;
  readonly systemMap?: string;
}

export interface ReplayKernel {
  /** To boot: with its real bytes, unless a System.map is all there is. */
  image(alignment: "recorded" | "patch-06"): KernelImage;
  /**
   * Where recorded addresses are in it; undefined for the build that was recorded, in which they are where they were.
   */
  readonly other: OtherKernel | undefined;
  readonly recorded: RecordedKernel;
  /** The user named what was recorded. */
  readonly named: boolean;
}

/** Kernels of a job. */
export interface NamedKernels {
  readonly kernel?: NamedKernel;
  readonly recording?: NamedRecording;
}

const read = new Map<string, Promise<ReplayKernel>>();

/** @returns undefined for none @throws InputError for a file that is no kernel */
export function replayKernel({ kernel, recording }: NamedKernels): Promise<ReplayKernel | undefined> {
  if (kernel === undefined && recording === undefined) return Promise.resolve(undefined);
  const key = JSON.stringify([kernel, recording]);
  let found = read.get(key);
  if (!found) read.set(key, (found = load(kernel, recording)));
  return found;
}

async function load(named: NamedKernel | undefined, recording: NamedRecording | undefined): Promise<ReplayKernel> {
  const recorded = recording ? await readRecordedKernel(recording) : shippedKernel();
  const isNamed = recording !== undefined;
  if (named === undefined)
    return { image: (alignment) => recorded.image(alignment), other: undefined, recorded, named: isNamed };
  const kernel = await readKernelFile(named.file, named.systemMap);
  const other = new OtherKernel(
    { image: recorded.image("recorded"), symbols: recorded.symbols() },
    { image: bootableImage(kernel, "recorded"), symbols: kernel.symbols },
  );
  return {
    image: (alignment) => bootableImage(kernel, alignment),
    other: other.isSame ? undefined : other,
    recorded,
    named: isNamed,
  };
}
