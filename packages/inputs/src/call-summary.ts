/**
 * The tables in which strace and perf trace sum up system calls, in whatever order of columns and rows.
 *
 *   % time     seconds  usecs/call     calls    errors syscall        strace -c; with -U any columns in any order
 *   ------ ----------- ----------- --------- --------- -------
 *    45.00    0.000123           3        41           mmap           no errors: an empty cell
 *   ------ ----------- ----------- --------- --------- -------
 *   100.00    0.000273           2       120        12 total          old versions leave usecs/call empty here
 *
 *     syscall            calls  errors  total       min       avg       max       stddev       perf trace -s, one a thread
 *                                       (msec)    (msec)    (msec)    (msec)        (%)
 *     --------------- --------  ------ -------- --------- --------- ---------     ------
 *     mmap                  20      0     0.123     0.001     0.005     0.010      9.12%
 */
import { quoted, type TextLines } from "./text-lines.js";

/** One system call. */
export interface CallCount {
  /** As the tool names it: `openat`. */
  readonly name: string;
  /** How often it was made, failed calls among them: a whole number from 0. */
  readonly calls: number;
  /** Time spent in it, seconds; absent where the file has none. */
  readonly seconds?: number;
}

const RULE = /^\s*-{3,}(?:\s+-{3,})+\s*$/;
/** A word of either tool's head; `% time` is one column. */
const COLUMN = /%\s*time|[^\s]+/g;
const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*(?:\(?0x[0-9a-f]+\)?)?$/;
/** With --errno-summary perf lists each call's errors below it. */
const ERRNO = /^\s+[A-Z][A-Z0-9]*: *\d+\s*$/;
const RERUN = "give the tool's output whole, as it printed it";

/** One table, by its head. */
interface Table {
  readonly columns: readonly string[];
  readonly calls: number;
  readonly name: number;
  readonly errors: number;
  /** Column of the time, and how many seconds its unit is. */
  readonly time: { readonly at: number; readonly unit: number } | undefined;
  /** Which tool's: only strace ends a table with a total. */
  readonly totalled: boolean;
  /** Letter behind the column of calls, by the rule below the head. */
  readonly callsEnd: number;
}

/** @returns rows of all tables, a call of several among them several times @throws InputError all faults with lines */
export function readSummaries(text: TextLines): CallCount[] {
  const { lines } = text;
  const counts: CallCount[] = [];
  let tables = 0;
  for (let at = 0; at < lines.length; at++) {
    if (!RULE.test(lines[at]!)) continue;
    const table = tableAt(lines, at);
    if (!table) continue;
    tables++;
    at = table.totalled ? readTotalled(text, table, at + 1, counts) : readThread(text, table, at + 1, counts);
  }
  if (tables === 0)
    text.report(
      undefined,
      undefined,
      "holds no summary of system calls",
      "give what strace -c, strace -cf or perf trace -s printed, or JSON with { calls }",
    );
  text.settle();
  return counts;
}

/** The table whose head stands above the rule; undefined where that is another tool's. */
function tableAt(lines: readonly string[], rule: number): Table | undefined {
  const above = [lines[rule - 1], lines[rule - 2]].find((line) => line !== undefined && /\bsyscall\b/.test(line));
  const columns = (above?.match(COLUMN) ?? []).map((word) => word.replace(/\s+/g, " "));
  const [name, calls] = [columns.indexOf("syscall"), columns.indexOf("calls")];
  if (name < 0 || calls < 0) return undefined;
  const ends = [...lines[rule]!.matchAll(/-+/g)].map((run) => run.index + run[0].length);
  const seconds = columns.indexOf("seconds");
  const total = columns.indexOf("total");
  return {
    columns,
    calls,
    name,
    errors: columns.indexOf("errors"),
    time: seconds >= 0 ? { at: seconds, unit: 1 } : total >= 0 && name === 0 ? { at: total, unit: 1e-3 } : undefined,
    totalled: !columns.includes("stddev"),
    callsEnd: ends[calls] ?? -1,
  };
}

/** A table of strace. @returns index of its last line */
function readTotalled(text: TextLines, table: Table, from: number, counts: CallCount[]): number {
  const { lines } = text;
  let sum = 0;
  let at = from;
  for (; at < lines.length && !RULE.test(lines[at]!); at++) {
    const row = rowOf(text, table, at);
    if (!row) continue;
    counts.push(row);
    sum += row.calls;
  }
  const totalAt = at + 1;
  const total = lines[totalAt] ?? "";
  if (at >= lines.length || !/(?:^|\s)total(?:\s|$)/.test(total)) {
    text.report(Math.min(at, lines.length - 1), undefined, "the summary ends before its total", RERUN);
    return at;
  }
  // The total may lack cells that nobody can tell apart by their number: its calls are found by their place.
  const cell = [...total.matchAll(/\S+/g)].find((each) => each.index + each[0].length === table.callsEnd)?.[0];
  if (cell !== undefined && /^\d+$/.test(cell) && Number(cell) !== sum)
    text.report(totalAt, "calls", `the total is ${cell}, and its rows have ${sum}`, RERUN);
  return totalAt;
}

/** A table of perf, up to an empty line. @returns index of its last line */
function readThread(text: TextLines, table: Table, from: number, counts: CallCount[]): number {
  let at = from;
  for (; at < text.lines.length && text.lines[at]!.trim() !== ""; at++) {
    if (ERRNO.test(text.lines[at]!)) continue;
    const row = rowOf(text, table, at);
    if (row) counts.push(row);
  }
  return at;
}

/** A row; undefined, and reported, where it is none. */
function rowOf(text: TextLines, table: Table, at: number): CallCount | undefined {
  const line = text.lines[at]!;
  const cells = line.trim().split(/\s+/);
  const refuse = (field: string | undefined, reason: string): undefined => {
    text.report(at, field, reason, RERUN);
    return undefined;
  };
  // Of all cells only the count of errors may be empty.
  if (table.errors >= 0 && cells.length === table.columns.length - 1) cells.splice(table.errors, 0, "0");
  if (cells.length !== table.columns.length)
    return refuse(undefined, `${quoted(line.trim())} is no row of ${table.columns.length} columns`);
  const [name, calls] = [cells[table.name]!, cells[table.calls]!];
  if (!NAME.test(name)) return refuse("syscall", `${quoted(name)} is no system call's name`);
  if (!/^\d{1,15}$/.test(calls)) return refuse("calls", `${quoted(calls)} is no number of calls`);
  if (table.errors >= 0 && !(Number(cells[table.errors]) <= Number(calls)))
    return refuse("errors", `${quoted(cells[table.errors]!)} is no number of errors up to ${calls}`);
  if (!table.time) return { name, calls: Number(calls) };
  const time = cells[table.time.at]!;
  // A comma is some locales' point.
  const seconds = /^\d+(?:[.,]\d+)?$/.test(time) ? Number(time.replace(",", ".")) * table.time.unit : Number.NaN;
  if (!Number.isFinite(seconds)) return refuse(table.columns[table.time.at], `${quoted(time)} is no time`);
  return { name, calls: Number(calls), seconds };
}
