/**
 * Reads the matrices in the output of Intel's Memory Latency Checker, versions 2 to 3.11:
 *
 *     Measuring idle latencies (in ns)...                     also "... for sequential access", "... for random access"
 *                     Numa node                               or "Memory node"
 *     Numa node            0       1                          or "Socket"
 *            0          69.6   141.4                          blanks or tabs; no row for a node without CPUs
 *            1         139.4    70.7
 *
 *     Measuring Memory Bandwidths between nodes within system      MB/s of 1,000,000 bytes; may be absent
 *     Measuring Loaded Latencies for the system                    loaded-latencies.ts; may be absent, or alone
 *
 * Row: node of the CPU, column: node of the memory. Rows may go on in the next line. Other tables of the tool are
 * passed over.
 *
 * @source Intel Memory Latency Checker readme, "What does the tool measure"
 */
import { quoted, type TextLines } from "@kreplica/inputs";
import { isSpoiltRow, LOADED, type LoadedLatencies, parseLoadedLatencies } from "./loaded-latencies.js";

/** A matrix as printed: rows only for nodes that have CPUs. */
export interface LatencyCheckerMatrix {
  readonly columns: readonly number[];
  /** By node of the CPU. Undefined where a dash stands for a figure. */
  readonly rows: ReadonlyMap<number, readonly (number | undefined)[]>;
  /** Index of the heading's line, from 0. */
  readonly line: number;
}

/** What was measured. */
export interface LatencyChecker {
  /** Absent only where the loaded latencies stand alone. */
  readonly latencyNs?: LatencyCheckerMatrix;
  readonly bandwidthMBs?: LatencyCheckerMatrix;
  /** Clean lines of another L2, nanoseconds; `line` from 1. */
  readonly cacheToCache: readonly {
    readonly of: "sameSocket" | "otherSocket";
    readonly value: number;
    readonly line: number;
  }[];
  readonly loaded?: LoadedLatencies;
}

const LATENCY = /Measuring idle latenc/i;
const BANDWIDTH = /Measuring Memory Bandwidths between nodes/i;
const COLUMNS = /^\s*(?:Numa node|Socket|Node)\s+(\d[\d\s]*)$/i;
const wordsOf = (line: string | undefined): string[] =>
  (line ?? "")
    .trim()
    .split(/\s+/)
    .filter((word) => word !== "");
const isDash = (cell: string): boolean => /^(?:-+|n\/a)$/i.test(cell);
const isFigure = (cell: string): boolean => /^\d{1,12}(?:\.\d{1,6})?$/.test(cell) && Number(cell) > 0;
const rerun = "run `mlc --latency_matrix` (and `mlc --bandwidth_matrix`) and give the whole output";

/** Whether the text holds such output. */
export const isLatencyChecker = (text: string): boolean =>
  /Memory Latency Checker/i.test(text) || LATENCY.test(text) || LOADED.test(text);

/** @throws InputError naming line and field of every fault */
export function parseLatencyChecker(text: TextLines): LatencyChecker {
  const matrix = (heading: RegExp, field: string): LatencyCheckerMatrix | undefined => {
    const at = text.lines.flatMap((line, index) => (heading.test(line) ? [index] : []));
    if (at.length > 1)
      throw text.fault(
        at[1],
        field,
        "a second matrix begins",
        "keep one of them: the last run, or the one for random access",
      );
    return at.length === 1 ? parseMatrix(text, at[0]!, field) : undefined;
  };
  const latencyNs = matrix(LATENCY, "idle latencies");
  const bandwidthMBs = matrix(BANDWIDTH, "memory bandwidths");
  const loaded = parseLoadedLatencies(text);
  if (!latencyNs && !loaded) throw text.fault(undefined, "idle latencies", "no latency matrix", rerun);
  text.settle();
  return {
    ...(latencyNs ? { latencyNs } : {}),
    ...(bandwidthMBs ? { bandwidthMBs } : {}),
    ...(loaded ? { loaded } : {}),
    cacheToCache: cacheToCacheIn(text),
  };
}

/**
 * `Local Socket L2->L2 HIT latency 42.1` is a core of the same socket; below `Remote Socket L2->L2 HITM latency` stand
 * matrices by reader and writer, of which the mean of what is not a dash counts.
 */
function cacheToCacheIn(text: TextLines): LatencyChecker["cacheToCache"] {
  const found: { of: "sameSocket" | "otherSocket"; value: number; line: number }[] = [];
  for (const [index, line] of text.lines.entries()) {
    const local = /^\s*Local Socket L2->L2 HIT\s+latency\s+(\S+)\s*$/i.exec(line);
    if (local && isFigure(local[1]!) && !found.some(({ of }) => of === "sameSocket"))
      found.push({ of: "sameSocket", value: Number(local[1]), line: index + 1 });
    if (!/^\s*Remote Socket L2->L2 HITM\s+latency/i.test(line) || found.some(({ of }) => of === "otherSocket"))
      continue;
    const cells: number[] = [];
    for (const row of text.lines.slice(index + 1, index + 1 + 2 * 64 + 12)) {
      if (/^\s*(?:Local|Measuring)/i.test(row)) break;
      const words = /^\s*\d{1,2}\s+((?:-|\d{1,5}\.\d+)(?:\s+(?:-|\d{1,5}\.\d+))*)\s*$/.exec(row);
      if (words) cells.push(...wordsOf(words[1]).flatMap((cell) => (isFigure(cell) ? [Number(cell)] : [])));
    }
    if (cells.length > 0)
      found.push({
        of: "otherSocket",
        value: Math.round((10 * cells.reduce((sum, each) => sum + each, 0)) / cells.length) / 10,
        line: index + 1,
      });
  }
  return found;
}

function parseMatrix(text: TextLines, heading: number, field: string): LatencyCheckerMatrix {
  const { lines } = text;
  // Between heading and columns stand up to four lines of explanation.
  let index = heading + 1;
  while (index < lines.length && index <= heading + 6 && !COLUMNS.test(lines[index]!)) index++;
  const head = COLUMNS.exec(lines[index] ?? "");
  if (!head)
    throw text.fault(heading, field, "no row of node numbers (`Numa node  0  1 ...`) below the heading", rerun);
  const columns = wordsOf(head[1]).map(Number);
  // A row begins with one of the columns, the rest of a heading with a higher one.
  for (
    let more = wordsOf(lines[index + 1]);
    more.length > 0 && more.every((word) => /^\d{1,2}$/.test(word)) && Number(more[0]) > columns.at(-1)!;
    more = wordsOf(lines[index + 1])
  ) {
    columns.push(...more.map(Number));
    index++;
  }
  const wide = columns.findIndex((id, i) => id > 63 || columns.indexOf(id) !== i);
  if (wide >= 0)
    throw text.fault(index, field, `column ${columns[wide]} is not a node id from 0 to 63, each once`, rerun);
  const rows = new Map<number, (number | undefined)[]>();
  for (index++; index < lines.length; index++) {
    const line = lines[index]!;
    const row = /^\s*(\d{1,4})\s+(\S.*)$/.exec(line);
    if (!row) {
      if (isSpoiltRow(line)) text.report(index, field, `${quoted(line.trim())} is not a row: node, figures`, rerun);
      else if (line.trim() !== "") break;
      continue;
    }
    const id = Number(row[1]);
    const at = index;
    const cells = wordsOf(row[2]!);
    // A row has one word more than the heading has columns, so that the next row is not taken for the rest of a short
    // one.
    for (
      let more = wordsOf(lines[index + 1]);
      cells.length < columns.length &&
      more.length > 0 &&
      cells.length + more.length <= columns.length &&
      more.every((cell) => isFigure(cell) || isDash(cell));
      more = wordsOf(lines[index + 1])
    ) {
      cells.push(...more);
      index++;
    }
    const where = `${field}, row ${id}`;
    if (id > 63) text.report(at, where, "node ids go from 0 to 63", rerun);
    else if (rows.has(id)) text.report(at, where, "the row is given twice", "keep one of them");
    else if (cells.length !== columns.length)
      text.report(at, where, `${cells.length} figures for ${columns.length} nodes`, rerun);
    const values = cells.map((cell, j) => {
      if (isDash(cell)) return undefined;
      if (isFigure(cell)) return Number(cell);
      if (cells.length === columns.length)
        text.report(at, `${where}, column ${columns[j]}`, `${quoted(cell)} is not a figure above 0`, rerun);
      return undefined;
    });
    if (!rows.has(id)) rows.set(id, values);
  }
  if (rows.size === 0) throw text.fault(heading, field, "the matrix has no rows", rerun);
  return { columns, rows, line: heading };
}
