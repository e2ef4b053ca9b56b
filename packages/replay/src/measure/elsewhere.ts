/**
 * A recording that was measured on one CPU, run on CPUs of other nodes, too: decoded once, its pages placed where those
 * nodes' kernels have them. Long ones are run in part.
 */
import { boot, type Booted, type Kernel } from "@kreplica/kernel";
import { invariant } from "@kreplica/mm-core";
import type { RecordedGuest } from "@kreplica/trace";
import type { PlacePage } from "../replay/program-builder.js";
import type { Workload } from "../replay/replayer.js";
import { SampledRun, shareOf, wholeOf } from "../replay/sampled-run.js";
import { type Arrival, arrivalOf } from "./arrival.js";
import { measureHotCold } from "./hot-cold.js";
import { type Pressed, replayerBeside } from "./pressed.js";
import { indexOf, otherCpus, type Where } from "./placement.js";

/** Counters of a whole run on one CPU, as far as it was run. */
export interface NodeRun {
  readonly where: Where;
  readonly cold: Float64Array;
  readonly hot: Float64Array;
  /** Runs made in all, the cold one included. */
  readonly runs: number;
  readonly settled: boolean;
  /** Part of the workload that was run, from which the rest is told; 1 where it was run whole. */
  readonly share: number;
  /**
   * What the process' arrival there comes to; where {@link Where.madeOn} asks for it and the workload was run whole.
   */
  readonly arrival?: Arrival;
}

/** A kernel that came up. */
interface Up {
  readonly booted: Booted;
}

/** Where kernels that differ in their policies alone have a recorded page: one place. */
export const placeIn =
  (kernels: readonly Up[]): PlacePage =>
  (address, frame) => {
    const [first, ...others] = kernels.map(({ booted }) => booted.recorded.map(address, frame));
    for (const other of others)
      invariant(
        other === first,
        `page 0x${address.toString(16)} has two places, 0x${first!.toString(16)} and 0x${other.toString(16)}, in kernels that differ in their policy alone`,
      );
    return first!;
  };

/** What is run elsewhere, and how it was recorded. */
export interface Recording extends Pressed {
  readonly workload: Workload;
  /** Virtual CPU that is measured. */
  readonly vcpu: number;
  readonly guest: RecordedGuest;
}

/** @param choices a kernel for each policy @returns a run for each policy, in their order */
export function runElsewhere(recording: Recording, where: Where, choices: readonly Kernel[]): NodeRun[] {
  const { spec, workload, vcpu, guest } = recording;
  const kernels = choices.map((each) => ({ booted: boot(each) }));
  for (const { booted } of kernels) booted.recorded.runsOn(where.madeOn ?? where.cpu);
  const here = workload.placed(placeIn(kernels));
  const share = shareOf(workload);
  const node = indexOf(spec, spec.cpus.find(({ id }) => id === where.cpu)!.node);
  return kernels.map(({ booted }): NodeRun => {
    const others = otherCpus(spec, where, vcpu, guest);
    const replayer = replayerBeside(recording, node, booted, where.cpu, vcpu, others, here);
    if (share === 1) {
      const { cold, hot, runs, settled } = measureHotCold(replayer, here, spec, node);
      const moved = where.madeOn === undefined ? {} : { arrival: arrivalOf(replayer, here) };
      return { where, cold, hot, runs, settled, share, ...moved };
    }
    const instructions = replayer.instructionsOf(here);
    const { windows, runs, settled } = measureHotCold(replayer, new SampledRun(here), spec, node);
    return { where, ...wholeOf(windows, here, instructions), runs, settled, share };
  });
}
