/**
 * The value of one parameter at which a modelled gain equals a reported one. No gain is taken to grow with its
 * parameter: places over the whole range are looked at, and where the gain crosses the reported one between two of
 * them, that stretch is halved, as often as can be paid for. What is left of the stretch is told.
 */

/** Where a gain is looked at: a value, and what the model gains with it, percent. */
export interface Looked {
  readonly value: number;
  readonly percent: number;
}

/** What became of a search. */
export interface Reached {
  /** The value that does it, of several the one nearest to where the parameter is; undefined where none does. */
  readonly value: number | undefined;
  /** The stretch it lies in: two places looked at, with the reported gain between theirs; or one, twice. */
  readonly between: readonly [low: number, high: number] | undefined;
  /** Of all places looked at the one whose gain comes nearest. */
  readonly nearest: Looked;
  /** Every place looked at, in order of value. */
  readonly looked: readonly Looked[];
}

/** Gains that differ by less are equal, percentage points: the last digit that is printed. */
export const EQUAL = 0.05;

/** A line of values. */
export interface Scale {
  /** Where the parameter is in the machine. */
  readonly now: number;
  /** Whether distances are ratios: sizes, latencies. Values are then above 0. */
  readonly byRatio?: boolean;
}

const between = (low: number, high: number, part: number, byRatio = false): number =>
  byRatio ? low * (high / low) ** part : low + (high - low) * part;

/** Places over a range, its ends among them. @param steps places in all, from 2 */
export const placesIn = (low: number, high: number, steps: number, byRatio = false): number[] =>
  Array.from({ length: steps }, (_, nth) =>
    nth === 0 ? low : nth === steps - 1 ? high : between(low, high, nth / (steps - 1), byRatio),
  );

/**
 * @param looked places where the gain is known, one or more, each value once; `now` among them
 * @param wanted percent
 * @param gainAt what the model gains at another value; absent: nothing more can be looked at, and a value between two
 *   places is told as if the gain were straight between them
 * @param halvings at most, of the stretch
 */
export function reaching(
  looked: readonly Looked[],
  wanted: number,
  { now, byRatio = false }: Scale,
  gainAt?: (value: number) => number,
  halvings = 40,
): Reached {
  const sorted = [...looked].sort((a, b) => a.value - b.value);
  const distance = (value: number): number => Math.abs(byRatio ? Math.log(value / now) : value - now);
  const doing = (each: Looked): boolean => Math.abs(each.percent - wanted) <= EQUAL;
  const stretches = [
    ...sorted.filter(doing).map((each) => [each, each] as const),
    ...sorted
      .slice(0, -1)
      .map((each, nth) => [each, sorted[nth + 1]!] as const)
      .filter(([a, b]) => !doing(a) && !doing(b) && a.percent < wanted !== b.percent < wanted),
  ];
  const away = ([a, b]: readonly [Looked, Looked]): number => Math.min(distance(a.value), distance(b.value));
  const [stretch] = stretches.sort((a, b) => away(a) - away(b));
  const all = [...sorted];
  if (!stretch) return { value: undefined, between: undefined, ...told(all, wanted) };
  let [low, high] = stretch;
  for (let halving = 0; gainAt && low !== high && halving < halvings; halving++) {
    const value = between(low.value, high.value, 0.5, byRatio);
    const middle = { value, percent: gainAt(value) };
    all.push(middle);
    if (doing(middle)) [low, high] = [middle, middle];
    else if (middle.percent < wanted === low.percent < wanted) low = middle;
    else high = middle;
  }
  // A gain that jumps over the reported one where there is nothing left to halve equals it nowhere.
  const jumps = gainAt !== undefined && low !== high;
  const part = low === high ? 0 : (wanted - low.percent) / (high.percent - low.percent);
  return {
    value: jumps ? undefined : between(low.value, high.value, part, byRatio),
    between: jumps ? undefined : [low.value, high.value],
    ...told(all, wanted),
  };
}

function told(looked: readonly Looked[], wanted: number): Pick<Reached, "nearest" | "looked"> {
  const sorted = [...looked].sort((a, b) => a.value - b.value);
  return {
    looked: sorted,
    nearest: sorted.reduce((best, each) =>
      Math.abs(each.percent - wanted) < Math.abs(best.percent - wanted) ? each : best,
    ),
  };
}
