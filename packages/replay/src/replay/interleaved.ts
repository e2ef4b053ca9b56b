/**
 * Several CPUs that replay at once, interleaved by their cycles: whoever is behind goes on for a few references, so
 * that what they have in common (an L3, links, lines that one writes and another reads) is met in the order in which it
 * would be. Deterministic: of two that are equally far the first goes on.
 */
import type { CycleClock } from "./cycle-clock.js";
import type { Piece, Replayer, Run, Workload } from "./replayer.js";

/** Operations between two looks at the clock. */
const STEP = 32;

/** A CPU that runs a workload again and again. */
export class RunningCpu {
  /** Cycles since all began. */
  now = 0;
  private running: Generator<Piece, Run, undefined> | undefined;
  private piece: Piece | undefined;
  private at = 0;

  /** @param ended told of each run as it ends */
  constructor(
    readonly replayer: Replayer,
    private readonly workload: Workload,
    private readonly clock: CycleClock,
    private readonly ended: (run: Run) => void,
  ) {}

  /** Executes a few operations. */
  step(): void {
    const piece = this.piece ?? this.next();
    const end = Math.min(piece.to, this.at + STEP);
    this.replayer.execute(piece.program, this.at, end);
    this.now += this.clock.since(end - this.at);
    this.at = end;
    if (end === piece.to) this.piece = undefined;
  }

  private next(): Piece {
    for (;;) {
      if (!this.running) {
        this.running = this.replayer.runInPieces(this.workload);
        this.clock.restart();
      }
      const next = this.running.next();
      if (next.done === true) {
        this.running = undefined;
        this.ended(next.value);
        continue;
      }
      this.at = next.value.from;
      this.piece = next.value;
      return next.value;
    }
  }
}

/**
 * Lets all of them run until that is enough.
 * @param turn told of each CPU before it goes on
 */
export function interleave(
  cpus: readonly RunningCpu[],
  enough: () => boolean,
  turn: (cpu: RunningCpu) => void = () => undefined,
): void {
  while (!enough()) {
    let behind = cpus[0]!;
    let until = Infinity;
    for (let n = 1; n < cpus.length; n++) {
      const each = cpus[n]!;
      if (each.now < behind.now) {
        until = behind.now;
        behind = each;
      } else if (each.now < until) until = each.now;
    }
    turn(behind);
    do behind.step();
    while (behind.now < until && !enough());
  }
}
