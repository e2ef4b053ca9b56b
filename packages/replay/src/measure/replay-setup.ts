/** What is known of a recording before it is replayed: its guest, whether it fits, and the kernels for it. */
import type { FrameRange, MachineSpec } from "@kreplica/hw-x86";
import type { Frame } from "@kreplica/hw-x86/api";
import { InputError } from "@kreplica/inputs";
import type { Kernel } from "@kreplica/kernel";
import { EntryPlaces, type RecordedGuest, surveyGuest } from "@kreplica/trace";
import { type RecordedRun, scheduledFrames } from "../replay/load.js";
import { framesToReserve } from "../replay/recorded-frames.js";
import { requireFit } from "../replay/recorded-kernel.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { jobKernel, type KernelJob } from "./kernel-job.js";
import type { Where } from "./placement.js";

/** Where else frames lie than where they do as recorded and booted. */
export interface OtherFrames {
  readonly order: (recorded: Frame) => Frame;
  /** Frames that the kernel is kept from. */
  readonly kept: readonly FrameRange[];
}

/** A recording's guest, and kernels to replay it on. */
export interface ReplaySetup {
  readonly guest: RecordedGuest;
  /** Its kernel had copies. */
  readonly copied: boolean;
  /** The kernel for a CPU, without its policy. */
  kernelAt(there: Where, more?: Partial<KernelJob>, frames?: OtherFrames): Kernel;
}

/**
 * @param job with the file as errors name it
 * @throws TraceError, InputError of a recording that does not fit the kernel it is said to be of, or the machine
 */
export function replaySetup(
  job: KernelJob & { readonly file: string },
  run: RecordedRun,
  kernel: ReplayKernel,
): ReplaySetup {
  const { spec, where, file } = job;
  const { named } = kernel;
  const places = new EntryPlaces();
  const { guest, copied } = surveyGuest(run.recording, kernel.recorded.guest, named, (batch) => {
    if (named) places.add(batch);
  });
  if (named) requireFit(file, places, kernel.recorded);
  const reservedAt = ({ masterNode, dataNode }: Where, order?: OtherFrames["order"]) =>
    framesToReserve(spec, [masterNode, dataNode], run.recording, scheduledFrames(run), guest, order);
  const reserved = reservedAt(where);
  if (kernel.other && reserved.length > 0) throw tooSmall(spec);
  return {
    guest,
    copied,
    kernelAt: (there, more = {}, frames) =>
      jobKernel({ ...job, ...more, where: there }, kernel).with({
        reserved: [
          ...(there === where && !frames ? reserved : reservedAt(there, frames?.order)),
          ...(frames?.kept ?? []),
        ],
        guest,
        ...(frames ? { recordedFrames: frames.order } : {}),
      }),
  };
}

const tooSmall = (spec: MachineSpec): InputError =>
  new InputError({
    file: spec.name,
    field: "nodes",
    reason: "too small for recordings beside a kernel other than the traced one",
    remedy: "give the nodes of the image and of the data 1 GiB each, or leave --kernel out",
  });
