/**
 * Where the far cycles went, as text: functions and pages of each test, cold and hot, before and after; and how few
 * bytes of text hold them.
 */
import { PAGE_BYTES } from "@kreplica/hw-x86/api";
import {
  bytesFor,
  type CompareResult,
  copyCurves,
  farCycles,
  functionRows,
  type LocatedRow,
  type LocatedTest,
  pageRows,
  shareOfBytes,
  textCycles,
  type TextSymbols,
} from "@kreplica/replay";
import { labelOf, percentText } from "./compare-gains.js";
import { heading, note, renderTable, right, type Screen } from "./terminal.js";

const short = (value: number): string =>
  value === 0 ? "-" : value < 0.05 ? "0.0" : value < 100 ? value.toFixed(1) : value.toFixed(0);
/** Percent of the far cycles for which the fewest bytes are told. */
const PERCENT = [80, 95, 100];
/** The one measured point of such a curve. */
const DASH = {
  codePercent: 7,
  missPercent: 80,
  source: "Stanford DASH, UNIX SVR4; Chapin and others, SIGMETRICS 95",
};

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
        ...part("pages of 4 KiB", listed.pages, (test) => pageRows(test, PAGE_BYTES)),
        ...(listed.pages === undefined ? [] : [curveText(label, cold, located.symbols, screen)]),
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

/**
 * How few bytes of text hold how much of a cold run's far cycles: what a copy of these alone would make near, for the
 * text as it was linked and for one linked hot-first.
 */
function curveText(label: string, cold: LocatedTest, symbols: TextSymbols, screen: Screen): string {
  const { textBytes, linked, hotFirst } = copyCurves(cold, symbols);
  const curves = [linked.small, linked.large, hotFirst.small, hotFirst.large];
  if (curves[0]!.length === 0) return "";
  const budget = (textBytes * DASH.codePercent) / 100;
  const rows = [
    ...PERCENT.map((percent) => [
      `KiB for ${percent} %`,
      ...curves.map((curve) => {
        const bytes = bytesFor(curve, percent / 100);
        return bytes === undefined ? "-" : (bytes / 1024).toFixed(0);
      }),
    ]),
    [`% in ${DASH.codePercent} % of text`, ...curves.map((curve) => percentText(100 * shareOfBytes(curve, budget)))],
  ];
  return (
    heading(
      `Copies, ${label}:`,
      "of the hottest pieces of text alone, and what of the far cycles they make near, cold",
      screen,
    ) +
    renderTable(
      [
        { head: "" },
        right("linked\n4 KiB"),
        right("linked\n2 MiB"),
        right("hot-first\n4 KiB"),
        right("hot-first\n2 MiB"),
      ],
      rows,
      screen,
    ) +
    note(
      `linked: as it was, hot-first: functions with most far cycles a byte first; by leaves of 4 KiB or 2 MiB. ${DASH.codePercent} % of this text are ${(budget / 1024).toFixed(0)} KiB; measured on a machine of 1995, ${DASH.codePercent} % of the code had ${DASH.missPercent} % of the misses (${DASH.source}).`,
      screen,
    )
  );
}
