/** A row of numbers that a terminal or a mail program may have broken over several lines. */

/** A row as read. */
export interface FoldedNumbers {
  readonly words: readonly string[];
  /** Of the words; NaN for a word that is no number of up to nine digits. */
  readonly values: readonly number[];
  /** Positions in `values` at which a further line begins, ascending. */
  readonly folds: readonly number[];
  /** Index of the first line behind the row. */
  readonly next: number;
}

const wordsOf = (text: string): string[] =>
  text
    .trim()
    .split(/\s+/)
    .filter((word) => word !== "");
const numberOf = (word: string): number => (/^\d{1,9}$/.test(word) ? Number(word) : NaN);
const CONTINUED = /^\s*\d[\d\s]*$/;

/** @param rest of the line at `index`, behind what introduces the row */
export function foldedNumbers(lines: readonly string[], index: number, rest: string): FoldedNumbers {
  const words = wordsOf(rest);
  const folds: number[] = [];
  let next = index + 1;
  for (; next < lines.length && CONTINUED.test(lines[next]!); next++) {
    folds.push(words.length);
    words.push(...wordsOf(lines[next]!));
  }
  return { words, values: words.map(numberOf), folds, next };
}

const ascends = (values: readonly number[]): boolean => values.every((value, i) => i === 0 || value > values[i - 1]!);

/**
 * Where a row that should ascend was broken inside a number: `12` at a line's end became `1` and `2`.
 *
 * @returns the fold's place among the folds, and the number's parts; undefined when the row ascends, or joining does
 *   not make it
 */
export function brokenNumber({
  words,
  values,
  folds,
}: FoldedNumbers): { readonly fold: number; readonly parts: readonly [string, string] } | undefined {
  if (ascends(values)) return undefined;
  const joined: string[] = [];
  let first: { fold: number; parts: [string, string] } | undefined;
  let fold = 0;
  for (const [i, word] of words.entries()) {
    const before = joined.at(-1);
    while (fold < folds.length && folds[fold]! < i) fold++;
    // The digits at the line's end are below the number before them, or those at the next line's begin below them.
    if (
      folds[fold] === i &&
      before !== undefined &&
      (values[i]! <= Number(before) || Number(before) <= Number(joined.at(-2) ?? -1))
    ) {
      joined[joined.length - 1] = before + word;
      first ??= { fold, parts: [before, word] };
    } else joined.push(word);
  }
  return ascends(joined.map(numberOf)) ? first : undefined;
}
