/**
 * A replay beside other CPUs' data: after every few references the stream brings what is due by the cycles that the
 * account gives for them. What the stream's core counts is in no counter of the measured CPU; what it costs the
 * measured CPU is the lines it then lacks.
 */
import type { CpuId } from "@kreplica/hw-x86/api";
import type { Booted } from "@kreplica/kernel";
import { CycleClock } from "./cycle-clock.js";
import type { ForeignStream } from "./foreign-stream.js";
import type { Program } from "./program.js";
import { Replayer, type Run, type Workload } from "./replayer.js";

/** Operations between two looks at the cycles: a few hundred cycles where nothing misses. */
const STEP = 256;

/** A replayer of one workload, or of parts of it. */
export class PressedReplayer extends Replayer {
  private readonly clock: CycleClock;

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
    prices: Float64Array,
    whole: Workload,
  ) {
    super(booted, cpu, measured, others);
    this.clock = new CycleClock(this, prices, whole);
  }

  override run(workload: Workload): Run {
    this.clock.restart();
    return super.run(workload);
  }

  override execute(program: Program, from: number, to: number): void {
    for (let at = from; at < to;) {
      const end = Math.min(to, at + STEP);
      super.execute(program, at, end);
      this.stream.advance(this.clock.since(end - at));
      at = end;
    }
  }
}
