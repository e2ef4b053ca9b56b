/**
 * A replay beside other CPUs' data: after every few references the stream brings what is due by the cycles that the
 * account gives for them. What the stream's core counts is in no counter of the measured CPU; what it costs the
 * measured CPU is the lines it then lacks.
 */
import { Counters } from "@kreplica/hw-x86";
import type { CpuId } from "@kreplica/hw-x86/api";
import type { Booted } from "@kreplica/kernel";
import type { ForeignStream } from "./foreign-stream.js";
import type { Program } from "./program.js";
import { Replayer, type Run, type Workload } from "./replayer.js";

/** Operations between two looks at the cycles: a few hundred cycles where nothing misses. */
const STEP = 256;

/** A replayer of one workload, or of parts of it. */
export class PressedReplayer extends Replayer {
  private readonly live: Float64Array;
  /** Indices of what costs anything. */
  private readonly priced: Int32Array;
  /** Base cycles of the recorded instructions, for each operation: they are counted at the end of a run only. */
  private readonly pace: number;
  private charged = 0;

  /**
   * @param cpu runs the measured virtual CPU
   * @param others CPU for each other virtual CPU
   * @param prices cycles of one of each count
   * @param whole the workload, none of it left out
   */
  constructor(
    booted: Booted,
    cpu: CpuId,
    measured: number,
    others: (vcpu: number) => CpuId,
    readonly stream: ForeignStream,
    private readonly prices: Float64Array,
    whole: Workload,
  ) {
    super(booted, cpu, measured, others);
    this.live = booted.assembly.get(Counters).of(cpu);
    this.priced = Int32Array.from(prices.keys()).filter((index) => prices[index] !== 0);
    const instructions = this.instructionsOf(whole);
    this.pace = instructions.reduce((sum, count, index) => sum + count * prices[index]!, 0) / whole.length;
  }

  override run(workload: Workload): Run {
    this.charged = this.cycles();
    return super.run(workload);
  }

  override execute(program: Program, from: number, to: number): void {
    for (let at = from; at < to;) {
      const end = Math.min(to, at + STEP);
      super.execute(program, at, end);
      const cycles = this.cycles();
      this.stream.advance(cycles - this.charged + this.pace * (end - at));
      this.charged = cycles;
      at = end;
    }
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
