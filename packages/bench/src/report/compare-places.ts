/**
 * Where the far cycles went, as text: functions and pages of each test, cold and hot, before and after; and how few
 * pieces of 2 MiB hold them.
 */
import { LARGE_BYTES, PAGE_BYTES } from "@kreplica/hw-x86/api";
import {
  addressText,
  type CompareResult,
  farCycles,
  functionRows,
  type LocatedRow,
  type LocatedTest,
  pageRows,
  textCycles,
} from "@kreplica/replay";
import { labelOf, percentText } from "./compare-gains.js";
import { heading, note, renderTable, right, type Screen } from "./terminal.js";

const short = (value: number): string =>
  value === 0 ? "-" : value < 0.05 ? "0.0" : value < 100 ? value.toFixed(1) : value.toFixed(0);
/** Shares of the far cycles for which the fewest pieces of 2 MiB are told. */
const SHARES = [0.8, 0.95, 1];

/** Six figures of a row, cycles: far cold before and after, far hot before and after, all text with one copy. */
interface Row {
  readonly name: string;
  readonly start: number | undefined;
  readonly cells: Float64Array;
}

function rowsOf(cold: readonly LocatedRow[], hot: readonly LocatedRow[]): Row[] {
  const rows = new Map<string, Row>();
  const add = (row: LocatedRow, at: 0 | 1): void => {
    const key = `${row.name} ${row.start}`;
    let into = rows.get(key);
    if (!into) rows.set(key, (into = { name: row.name, start: row.start, cells: new Float64Array(6) }));
    into.cells[2 * at]! += farCycles(row.before);
    into.cells[2 * at + 1]! += farCycles(row.after);
    into.cells[4 + at]! += textCycles(row.before);
  };
  for (const row of cold) add(row, 0);
  for (const row of hot) add(row, 1);
  const far = ({ cells }: Row): number => cells[0]! + cells[2]!;
  return [...rows.values()]
    .filter(({ cells }) => cells.some((each) => each !== 0))
    .sort(
      (a, b) =>
        far(b) - far(a) || b.cells[4]! + b.cells[5]! - a.cells[4]! - a.cells[5]! || (a.start ?? -1) - (b.start ?? -1),
    );
}

const summed = (name: string, rows: readonly Row[]): Row => ({
  name,
  start: undefined,
  cells: rows.reduce((sum, { cells }) => sum.map((each, at) => each + cells[at]!), new Float64Array(6)),
});

/** Nothing where nobody asked. */
export function placesText(result: Pick<CompareResult, "tests" | "located" | "listed">, screen: Screen): string {
  const { located, listed } = result;
  if (!located || !listed) return "";
  const colds = located.tests.filter(({ cache }) => cache === "cold");
  return colds
    .flatMap((cold) => {
      const hot = located.tests.find((each) => each.cache === "hot" && each.file === cold.file)!;
      const label = labelOf(
        result.tests.find((each) => each.file === cold.file)!,
        result.tests,
      );
      const part = (what: string, most: number | undefined, of: (test: LocatedTest) => LocatedRow[]): string[] =>
        most === undefined ? [] : [table(`Where, ${label}:`, what, rowsOf(of(cold), of(hot)), most, cold, screen)];
      return [
        ...part("functions", listed.functions, (test) => functionRows(test, located.symbols)),
        ...part("pages of 4 KiB", listed.pages, (test) => pageRows(test, PAGE_BYTES)).map(
          (text) => text + piecesText(cold, screen),
        ),
      ];
    })
    .join("\n");
}

function table(
  title: string,
  what: string,
  rows: readonly Row[],
  most: number,
  { iterations }: LocatedTest,
  screen: Screen,
): string {
  const shown = rows.slice(0, most);
  const rest = rows.slice(most);
  const all = summed("all", rows);
  const cellsOf = ({ name, cells }: Row): string[] => [
    name,
    ...Array.from(cells, (cycles) => short(cycles / iterations / 1000)),
    all.cells[0] === 0 ? "-" : percentText((100 * cells[0]!) / all.cells[0]!),
  ];
  return (
    heading(title, `thousands of far cycles per iteration, ${what} with most of them`, screen) +
    renderTable(
      [
        { head: "" },
        right("cold\nfar"),
        right("cold\ncopies"),
        right("hot\nfar"),
        right("hot\ncopies"),
        right("cold\nall"),
        right("hot\nall"),
        right("cold\n%"),
      ],
      [...shown, ...(rest.length > 0 ? [summed(`${rest.length} others`, rest)] : []), all].map(cellsOf),
      screen,
    ) +
    note(
      "far: kernel text from another node's memory with one copy, copies: with the policy; all: from beyond L1, one copy; %: of far. The sums are the account's.",
      screen,
    )
  );
}

/** How few pieces of text hold how much of a cold run's far cycles: what a copy of these alone would move. */
function piecesText(cold: LocatedTest, screen: Screen): string {
  const large = farPieces(cold, LARGE_BYTES);
  const all = large.reduce((sum, { far }) => sum + far, 0);
  if (all === 0) return "";
  const first = large[0]!;
  const takes = (pieces: readonly { readonly far: number }[]): string =>
    [...new Set(SHARES.map((share) => `${enough(pieces, share * all)} for ${100 * share} %`))].join(", ");
  return note(
    `By 2 MiB: ${addressText(first.start)} alone has ${percentText((100 * first.far) / all)} % of the far cycles, cold; it takes ${takes(large)}. ` +
      `By 4 KiB: it takes ${takes(farPieces(cold, PAGE_BYTES))}.`,
    screen,
  );
}

/** Pieces of text with far cycles, those with most of them first. */
const farPieces = (cold: LocatedTest, bytes: number): { readonly start: number; readonly far: number }[] =>
  pageRows(cold, bytes)
    .flatMap(({ start, before }) => (start === undefined ? [] : [{ start, far: farCycles(before) }]))
    .filter(({ far }) => far > 0)
    .sort((a, b) => b.far - a.far || a.start - b.start);

/** How many of the first pieces have at least so many far cycles. */
function enough(pieces: readonly { readonly far: number }[], wanted: number): number {
  let [count, sum] = [0, 0];
  while (count < pieces.length && sum < wanted) sum += pieces[count++]!.far;
  return count;
}
