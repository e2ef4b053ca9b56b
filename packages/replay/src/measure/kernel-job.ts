/** What the kernels of a job have in common, as plain data; and as a kernel to boot. */
import type { MachineSpec } from "@kreplica/hw-x86";
import { type Kernel, kernelFrom } from "@kreplica/kernel";
import type { Alignment } from "@kreplica/mm-core";
import type { Pressure } from "../replay/foreign-stream.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import type { Where } from "./placement.js";

/** What the kernels compared have in common. */
export interface KernelJob {
  readonly spec: MachineSpec;
  readonly where: Where;
  readonly pti: boolean;
  readonly levels: 4 | 5;
  readonly seed: number;
  /** Data of other CPUs that goes through the last-level cache meanwhile; none when absent. */
  readonly pressure?: Pressure;
  /** False leaves replication's own work out, and with it what its lines push out of the caches. */
  readonly work?: boolean;
  /**
   * Ends of text and rodata in all of them; when absent as recorded with one copy and as patch 06 has them with
   * several.
   */
  readonly alignment?: Alignment;
}

/** What a job's kernels have in common. @param replayed what is booted */
export const jobKernel = ({ spec, where, pti, levels, seed, alignment }: KernelJob, replayed: ReplayKernel): Kernel =>
  kernelFrom({
    spec,
    image: (ends) => replayed.image(ends),
    pti,
    levels,
    seed,
    masterNode: where.masterNode,
    recordedNodes: [where.masterNode, where.dataNode],
    ...(alignment ? { alignment } : {}),
  });
