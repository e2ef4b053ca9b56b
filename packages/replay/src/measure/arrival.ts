/**
 * What it costs that a process comes to a node it has not run on: the PGD that a policy makes then, the walks of a CPU
 * that keeps no translation of it, and the lines that all this displaces.
 */
import type { Replayer, Workload } from "../replay/replayer.js";
import type { WorkDone } from "../replay/replication-work.js";

/** A run that the process' arrival stands before; counters of both together. */
export interface Arrival {
  /** Every cache was emptied before the arrival. */
  readonly cold: Float64Array;
  /** Everything was as the settled run left it. */
  readonly hot: Float64Array;
  /** What the kernel did beyond a single copy's in the arrival itself. */
  readonly work: WorkDone;
  /** Whether it was repeated what the recorded kernel does beside the tables where it makes a PGD. */
  readonly repeated: boolean;
}

/** To be called behind a settled run, which the hot one is compared with. */
export function arrivalOf(replayer: Replayer, workload: Workload): Arrival {
  const hot = replayer.runOnArrival(workload);
  replayer.chill();
  const cold = replayer.runOnArrival(workload);
  return { cold: cold.counters, hot: hot.counters, work: cold.arrival.work, repeated: cold.arrival.repeated };
}
