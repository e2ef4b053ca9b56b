/**
 * How often a recording makes its test's system call: a loop test is as long as it was recorded, whatever its marker is
 * called.
 */
import { type Batch, Kind } from "./batch.js";
import { MARKER, Phase } from "./tests.js";

const UPPER = 0xffff_ffff;

/**
 * Counts calls of one function on the CPU of the start marker, up to the end marker; feed it every batch as recorded.
 */
export class CallCounter {
  /** Calls between each two markers in a row. */
  readonly stretches: number[] = [];
  private calls = 0;
  private vcpu = 0;
  private measured = -1;

  /** @param low lower half of the function's address in the recorded kernel */
  constructor(private readonly low: number) {}

  get total(): number {
    return this.stretches.reduce((sum, each) => sum + each, 0);
  }

  add({ kind, lo, hi, a, length }: Batch): void {
    for (let i = 0; i < length; i++) {
      // A fetch that begins at the first byte: a call, since nothing returns there.
      if (kind[i] === Kind.Fetch) {
        if (lo[i] === this.low && hi[i] === UPPER && this.vcpu === this.measured) this.calls++;
      } else if (kind[i] === Kind.Vcpu) this.vcpu = a[i]!;
      else if (kind[i] === Kind.Mark && a[i]! >>> 16 === MARKER) this.mark(a[i]! & 0xff);
    }
  }

  private mark(phase: number): void {
    if (phase === Phase.Start) this.measured = this.vcpu;
    else if (phase === Phase.Aux || phase === Phase.End) {
      if (this.measured >= 0) this.stretches.push(this.calls);
      if (phase === Phase.End) this.measured = -1;
    }
    this.calls = 0;
  }
}
