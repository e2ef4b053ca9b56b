/**
 * The journal of a sweep: a line for each cell that is done, appended as it is done. Each line carries the digest of
 * what it says, so that a line which a crash cut off is told from one that is whole, wherever the cut was.
 *
 *   DIGEST SPACE {"cell":NAME,"rows":[{...},...]} LF
 */
import { canonicalText } from "./canonical.js";

/** What a cell's row says by column; null where it does not apply. */
export type Row = Readonly<Record<string, string | number | boolean | null>>;

/** A cell that is done. */
export interface DoneCell {
  /** Digest of all that it depends on. */
  readonly cell: string;
  readonly rows: readonly Row[];
}

/** Letters of a text's digest; any that changes when a letter of the text does. */
export type Digest = (text: string) => string;

/** The line of a cell, with its line break. */
export function journalLine({ cell, rows }: DoneCell, digest: Digest): string {
  const text = canonicalText({ cell, rows });
  return `${digest(text)} ${text}\n`;
}

/** What a journal says. */
export interface Journal {
  /** In the order of their lines, each cell once: the first line of one that stands there twice. */
  readonly cells: readonly DoneCell[];
  /** Letters of the lines that are whole: what stands behind them was cut off or is no line of a journal. */
  readonly whole: number;
}

/** Reads up to the first line that is not whole. */
export function readJournal(text: string, digest: Digest): Journal {
  const cells = new Map<string, DoneCell>();
  let whole = 0;
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", whole)) {
    const line = text.slice(whole, end);
    const gap = line.indexOf(" ");
    const said = line.slice(gap + 1);
    if (gap <= 0 || digest(said) !== line.slice(0, gap)) break;
    const done = JSON.parse(said) as DoneCell;
    if (!cells.has(done.cell)) cells.set(done.cell, done);
    whole = end + 1;
  }
  return { cells: [...cells.values()], whole };
}
