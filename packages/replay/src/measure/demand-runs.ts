/**
 * What it costs that a node gets its copy of text while the kernel runs, and that it gives it back: each executed
 * before a run, on the CPU that was measured, beside runs without the copy and with it.
 */
import { pagesBetween } from "@kreplica/hw-x86/api";
import { boot, DemandCopies, type Kernel, type KernelPolicy } from "@kreplica/kernel";
import { invariant } from "@kreplica/mm-core";
import type { WorkDone } from "../replay/replication-work.js";
import { shareOf } from "../replay/sampled-run.js";
import { placeIn, type Recording } from "./elsewhere.js";
import { measureHotCold } from "./hot-cold.js";
import { indexOf, otherCpus, type Where } from "./placement.js";
import { replayerBeside } from "./pressed.js";

/** Counters of the measured CPU, by the state of the caches. */
export interface Counted {
  readonly cold: Float64Array;
  readonly hot: Float64Array;
}

/** A copy's coming or going, and a run behind it; counters of both together. */
export interface CopyRuns extends Counted {
  readonly work: WorkDone;
}

/** Runs of a kernel whose copies come on demand, on a CPU whose node can have one. */
export interface DemandRuns {
  /** Pages of 4 KiB that the copy has. */
  readonly pages: number;
  /** Cycles that the node has to have waited for it. */
  readonly price: number;
  /** With the master's text. */
  readonly without: Counted;
  /** With the node's own. */
  readonly with: Counted;
  readonly comes: CopyRuns;
  readonly goes: CopyRuns;
}

/** Whether a policy's copies come on demand. */
export const onDemand = (policy: KernelPolicy): boolean =>
  policy.bindings.some(({ token }) => token.key === DemandCopies.key);

/**
 * @param kernel booted for this: the first copy that comes divides leaves of the direct map, which then stay so
 * @returns undefined where no copy comes to the CPU's node: it runs the master's tables or another's, or its memory has
 *   no room; and where the workload is run in part
 */
export function demandRuns(recording: Recording, where: Where, kernel: Kernel): DemandRuns | undefined {
  const { spec, workload, vcpu, guest } = recording;
  const booted = boot(kernel);
  const { assembly, machine, view, image } = booted;
  const node = machine.nodeOfCpu(where.cpu);
  if (shareOf(workload) !== 1 || view.nearest(node) !== node || node === view.master) return undefined;
  booted.recorded.runsOn(where.cpu);
  const here = workload.placed(placeIn([{ booted }]));
  const nodeIndex = indexOf(spec, node);
  const others = otherCpus(spec, where, vcpu, guest);
  const replayer = replayerBeside(recording, nodeIndex, booted, where.cpu, vcpu, others, here);
  replayer.countsDemand = false;
  const counted = (): Counted => {
    const { cold, hot } = measureHotCold(replayer, here, spec, nodeIndex);
    return { cold, hot };
  };
  const without = counted();
  const coming = replayer.runOnCopy(here, "comes");
  if (!coming) return undefined;
  const having = counted();
  const going = replayer.runOnCopy(here, "goes");
  replayer.chill();
  const comingCold = replayer.runOnCopy(here, "comes");
  replayer.chill();
  const goingCold = replayer.runOnCopy(here, "goes");
  invariant(
    going !== undefined && comingCold !== undefined && goingCold !== undefined,
    "a copy that came once neither goes nor comes again",
  );
  return {
    pages: pagesBetween(image.stext, image.etext).pages,
    price: assembly.get(DemandCopies).price(node),
    without,
    with: having,
    comes: { cold: comingCold.counters, hot: coming.counters, work: coming.copying },
    goes: { cold: goingCold.counters, hot: going.counters, work: going.copying },
  };
}
