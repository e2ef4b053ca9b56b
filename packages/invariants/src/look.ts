/** Runs the checks of rows on what they look at. */
import type { Finding, Invariant, InvariantReport } from "./invariant.js";

/** An invariant that does not hold, where and how. */
export const findingOf = ({ id, sentence }: Pick<Invariant<never>, "id" | "sentence">, detail: string): Finding => ({
  id,
  sentence,
  detail,
});

/** @returns every place where one of the rows does not hold, row after row; none when all hold */
export function findings<Subject>(rows: readonly Invariant<Subject>[], subject: Subject): Finding[] {
  const found: Finding[] = [];
  for (const row of rows)
    row.check?.(subject, {
      fail: (detail) => {
        found.push(findingOf(row, detail));
      },
      skip: () => undefined,
    });
  return found;
}

/**
 * Each row once, in their order: checked, or not reached; those that do not hold in `violated` too, with their first
 * place.
 */
export function report<Subject>(rows: readonly Invariant<Subject>[], subject: Subject): InvariantReport {
  const checked: string[] = [];
  const notReached: string[] = [];
  const violated: Finding[] = [];
  for (const row of rows) {
    let first: string | undefined;
    let places = 0;
    let skipped = row.check === undefined;
    row.check?.(subject, {
      fail(detail) {
        first ??= detail;
        places++;
      },
      skip() {
        skipped = true;
      },
    });
    (skipped ? notReached : checked).push(row.id);
    if (first !== undefined) violated.push(findingOf(row, places > 1 ? `${first} (and ${places - 1} more)` : first));
  }
  return { checked, violated, notReached };
}
