/**
 * An eighth of a long workload, run as if it were all of it, and what a whole run counts by it: for nodes whose whole
 * runs would take as long as the one that is looked at.
 */
import type { PlacePage } from "./program-builder.js";
import { type Piece, PARTS, type Replayer, type Window, type WindowCounts, type Workload } from "./replayer.js";

const lengthOf = (windows: readonly Window[]): number => windows.reduce((sum, [from, to]) => sum + to - from, 0);

/** How much of a workload its windows are; 1 where it has none and is run whole. */
export const shareOf = ({ windows }: Pick<Workload, "windows">): number =>
  windows.length === 0 ? 1 : lengthOf(windows) / PARTS;

/** The windows of a workload, one behind the other. Without instructions: those are known and need no run. */
export class SampledRun implements Workload {
  readonly instructions: Float64Array;
  readonly length: number;
  readonly share: number;
  readonly loop: boolean;
  /** Each window of the whole, in parts of this. */
  readonly windows: readonly Window[];

  constructor(private readonly whole: Workload) {
    this.instructions = new Float64Array(whole.instructions.length);
    this.loop = whole.loop;
    this.share = shareOf(whole);
    this.length = whole.length * this.share;
    const each = PARTS / whole.windows.length;
    this.windows = whole.windows.map((_, nth) => [nth * each, (nth + 1) * each]);
  }

  *pieces(replayer: Replayer, from: number, to: number): Iterable<Piece> {
    for (const [nth, [first, end]] of this.windows.entries()) {
      const [start, stop] = this.whole.windows[nth]!;
      const inWhole = (part: number): number =>
        start + ((Math.min(end, Math.max(first, part)) - first) / (end - first)) * (stop - start);
      if (from < end && to > first) yield* this.whole.pieces(replayer, inWhole(from), inWhole(to));
    }
  }

  placed(place: PlacePage): SampledRun {
    return new SampledRun(this.whole.placed(place));
  }
}

/**
 * What a whole run counts where all that is in no window is like the windows. Of a loop a hot run says what goes on,
 * and what a cold one has more is its start, which is in the windows. Of others the first cold window has the start,
 * and the other windows stand for the rest.
 *
 * @param counts of the windows, in a whole run or in a sampled one, cold and hot
 * @param instructions of the whole run, as counters
 */
export function wholeOf(
  { cold, hot }: { readonly cold: WindowCounts; readonly hot: WindowCounts },
  { windows, loop }: Pick<Workload, "windows" | "loop">,
  instructions: Float64Array,
): { readonly cold: Float64Array; readonly hot: Float64Array } {
  const all = PARTS / lengthOf(windows);
  const start = lengthOf(windows.slice(0, 1));
  const rest = (PARTS - start) / (PARTS / all - start);
  const warm = instructions.map((own, at) => own + all * (hot.first[at]! + hot.others[at]!));
  return {
    hot: warm,
    cold: loop
      ? warm.map((each, at) => each + cold.first[at]! + cold.others[at]! - hot.first[at]! - hot.others[at]!)
      : instructions.map((own, at) => own + cold.first[at]! + rest * cold.others[at]!),
  };
}
