/** A recording run from its first operation to its last. */
import type { Program } from "./program.js";
import type { Replayer, Workload } from "./replayer.js";

export class PlainRun implements Workload {
  constructor(private readonly program: Program) {}

  get length(): number {
    return this.program.length;
  }
  get instructions(): Float64Array {
    return this.program.instructions;
  }

  play(replayer: Replayer, half: 0 | 1): void {
    const middle = this.program.length >>> 1;
    if (half === 0) replayer.execute(this.program, 0, middle);
    else replayer.execute(this.program, middle, this.program.length);
  }
}
