/** The kernel a recording is replayed on when it is not the traced one: read from its file once in a process, as workers do too. */
import { bootableImage } from "../inputs/kernel-image/bootable.js";
import { readKernelFile } from "../inputs/kernel-image/kernel-file.js";
import type { KernelImage } from "@kreplica/mm-core";
import { tracedKernel, tracedSymbols } from "../traced-kernel.js";
import { OtherKernel } from "./other-kernel.js";

/** A file and its System.map: plain data, as a job carries it. */
export interface NamedKernel { readonly file: string; readonly systemMap?: string }

export interface ReplayKernel {
  /** With its real bytes. */
  image(alignment: "recorded" | "patch-06"): KernelImage;
  /** Where recorded addresses are in it; undefined for the build that was traced, in which they are where they were. */
  readonly other: OtherKernel | undefined;
}

const read = new Map<string, Promise<ReplayKernel>>();

/** @returns undefined for none @throws InputError for a file that is no kernel */
export function replayKernel(named: NamedKernel | undefined): Promise<ReplayKernel | undefined> {
  if (named === undefined) return Promise.resolve(undefined);
  const key = JSON.stringify(named);
  let found = read.get(key);
  if (!found) read.set(key, (found = load(named)));
  return found;
}

async function load({ file, systemMap }: NamedKernel): Promise<ReplayKernel> {
  const kernel = await readKernelFile(file, systemMap);
  const other = new OtherKernel({ image: tracedKernel("recorded"), symbols: tracedSymbols() }, { image: bootableImage(kernel, "recorded"), symbols: kernel.symbols });
  return { image: (alignment) => bootableImage(kernel, alignment), other: other.isSame ? undefined : other };
}
