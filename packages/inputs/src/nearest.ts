/**
 * What the user probably meant: the known word nearest to the one typed, whatever it names (a preset, a test, a policy,
 * a module, a program, a command).
 */

/**
 * Letters to insert, delete, replace, or swap with their neighbour to turn one word into the other (Damerau, adjacent
 * letters only).
 */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const [above, current] = [rows[i - 1]!, [i]];
    for (let j = 1; j <= b.length; j++) {
      const replace = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(replace, above[j]! + 1, current[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      current.push(least);
    }
    rows.push(current);
  }
  return rows[a.length]![b.length]!;
}

/** Capitals and what stands between the parts of a name are easily left out: `xeon8280` for `xeon-8280-4s`. */
const plain = (word: string): string => word.toLowerCase().replace(/[-_./ ]/g, "");

/** @returns the nearest of `known`, or the one that begins with the word; undefined when nothing is near */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const typed = plain(word);
  if (typed.length === 0 || typed.length > 64) return undefined;
  const begins = known.filter((each) => plain(each).startsWith(typed));
  if (begins.length === 1) return begins[0];
  const near = Math.max(1, Math.floor(typed.length / 3));
  const scored = known
    .filter((each) => Math.abs(plain(each).length - typed.length) <= near)
    .map((each) => ({ each, distance: editDistance(typed, plain(each)) }))
    .sort((a, b) => a.distance - b.distance);
  const best = scored[0];
  return best && best.distance <= near ? best.each : undefined;
}

/** Names that are listed where no suggestion can be made; more are told by their number. */
const MOST_NAMED = 24;

/**
 * What to do about a word that names nothing, as the remedy of an InputError.
 *
 * @param known in the order they are listed
 * @param otherwise where nothing is near (default: the known ones, the first {@link MOST_NAMED})
 */
export function didYouMean(
  word: string,
  known: readonly string[],
  otherwise = `choose from ${known.slice(0, MOST_NAMED).join(", ")}${known.length > MOST_NAMED ? ` and ${known.length - MOST_NAMED} more` : ""}`,
): string {
  const meant = nearest(word, known);
  return meant === undefined ? otherwise : `did you mean ${meant}?`;
}
