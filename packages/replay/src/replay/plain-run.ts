/** A recording run from its first operation to its last. */
import type { PlacePage } from "./program-builder.js";
import type { Program } from "./program.js";
import { type Piece, PARTS, type Replayer, type Window, type Workload } from "./replayer.js";

/** References up to which a recording is short. */
const SHORT = 1_000_000;

export class PlainRun implements Workload {
  constructor(private readonly program: Program) {}

  get length(): number {
    return this.program.length;
  }
  get instructions(): Float64Array {
    return this.program.instructions;
  }

  readonly loop = true;
  /** A long one is a loop: its first two parts. */
  get windows(): readonly Window[] {
    return this.length < SHORT
      ? []
      : [
          [0, 1],
          [1, 2],
        ];
  }

  *pieces(_replayer: Replayer, from: number, to: number): Iterable<Piece> {
    const at = (part: number): number => Math.floor((this.program.length * part) / PARTS);
    yield { program: this.program, from: at(from), to: at(to) };
  }

  placed(place: PlacePage): PlainRun {
    return new PlainRun(this.program.placed(place));
  }
}
