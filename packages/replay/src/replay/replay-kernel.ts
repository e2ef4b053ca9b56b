/** The kernel a recording is replayed on, and the one it was made on. */
import { bootableImage, type KernelFile } from "@kreplica/kernel-files";
import type { KernelImage } from "@kreplica/mm-core";
import { type ImageSymbol, OtherKernel } from "./other-kernel.js";
import type { RecordedKernel } from "./recorded-kernel.js";

/** What is booted for a replay, and where recorded addresses are in it. */
export interface ReplayKernel {
  /** To boot: with its real bytes, unless a System.map is all there is. */
  image(alignment: "recorded" | "patch-06"): KernelImage;
  /**
   * Where recorded addresses are in it; undefined for the build that was recorded, in which they are where they were.
   */
  readonly other: OtherKernel | undefined;
  /** Of the kernel to boot. */
  symbols(): readonly ImageSymbol[];
  readonly recorded: RecordedKernel;
  /** The user named what was recorded. */
  readonly named: boolean;
}

/**
 * @param kernel to replay on; the recorded one when absent
 * @param named the user named what was recorded
 * @throws InputError for a kernel that cannot be booted
 */
export function replayKernelOf(recorded: RecordedKernel, named: boolean, kernel?: KernelFile): ReplayKernel {
  if (kernel === undefined)
    return {
      image: (alignment) => recorded.image(alignment),
      other: undefined,
      symbols: () => recorded.symbols(),
      recorded,
      named,
    };
  const other = new OtherKernel(
    { image: recorded.image("recorded"), symbols: recorded.symbols() },
    { image: bootableImage(kernel, "recorded"), symbols: kernel.symbols },
  );
  return {
    image: (alignment) => bootableImage(kernel, alignment),
    other: other.isSame ? undefined : other,
    symbols: () => kernel.symbols,
    recorded,
    named,
  };
}
