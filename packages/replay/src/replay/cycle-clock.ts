/**
 * What time it is for a CPU that replays: the cycles that the account gives for what it has counted, and for the
 * recorded instructions, which are counted at the end of a run only, their share as it goes.
 */
import { Counters } from "@kreplica/hw-x86";
import type { Replayer, Workload } from "./replayer.js";

/** The clock of one replayer and one workload of its. */
export class CycleClock {
  private readonly live: Float64Array;
  /** Indices of what costs anything. */
  private readonly priced: Int32Array;
  /** Base cycles of the recorded instructions, for each operation. */
  private readonly pace: number;
  private charged = 0;

  /**
   * @param prices cycles of one of each count
   * @param whole the workload, none of it left out
   */
  constructor(
    replayer: Replayer,
    private readonly prices: Float64Array,
    whole: Workload,
  ) {
    this.live = replayer.booted.assembly.get(Counters).of(replayer.cpu);
    this.priced = Int32Array.from(prices.keys()).filter((index) => prices[index] !== 0);
    const instructions = replayer.instructionsOf(whole);
    this.pace = instructions.reduce((sum, count, index) => sum + count * prices[index]!, 0) / whole.length;
  }

  /** A run begins: what was counted before is none of its time. */
  restart(): void {
    this.charged = this.cycles();
  }

  /** Cycles since it was asked last. @param operations executed since */
  since(operations: number): number {
    const cycles = this.cycles();
    const passed = cycles - this.charged + this.pace * operations;
    this.charged = cycles;
    return passed;
  }

  private cycles(): number {
    const { live, priced, prices } = this;
    let sum = 0;
    for (let n = 0; n < priced.length; n++) {
      const index = priced[n]!;
      sum += live[index]! * prices[index]!;
    }
    return sum;
  }
}
