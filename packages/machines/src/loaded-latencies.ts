/**
 * Reads the table of loaded latencies in the output of Intel's Memory Latency Checker: latency beside the bandwidth
 * that other cores draw, delay by delay, the first row without any.
 *
 *     Measuring Loaded Latencies for the system
 *     Inject  Latency Bandwidth                     heading of two lines, then a rule of equal signs
 *     Delay   (ns)    MB/sec
 *     ==========================
 *      00000  294.33   115842.3
 *
 * @source Intel Memory Latency Checker readme, "What does the tool measure"
 */
import type { LoadedLatency } from "@kreplica/hw-x86/api";
import { quoted, type TextLines } from "@kreplica/inputs";

/** One row: how the machine answered while that much was drawn. */
export interface LoadedRow {
  readonly latencyNs: number;
  /** MB/s of 1,000,000 bytes. */
  readonly bandwidthMBs: number;
}

/** The table as printed. */
export interface LoadedLatencies {
  /** At least two. */
  readonly rows: readonly LoadedRow[];
  /** Of the first row and the last, from 1. */
  readonly lines: readonly [first: number, last: number];
}

/** Heading of the table. */
export const LOADED = /Measuring Loaded Latencies/i;
const rerun = "run `mlc --loaded_latency` and give the whole table";
const FIGURE = /^\d{1,9}(?:\.\d{1,6})?$/;

/**
 * Whether a line that does not read as a row of figures was one before something was put on it: a quote in front, a
 * mark, a prompt. What is behind a table has no two figures with decimals standing alone.
 */
export const isSpoiltRow = (line: string): boolean =>
  line.split(/\s+/).filter((word) => /^["'(*]?\d+\.\d+["'),*]?$/.test(word)).length >= 2;

/** @returns undefined where the text has no such table; its faults are reported to the text, which settles them */
export function parseLoadedLatencies(text: TextLines): LoadedLatencies | undefined {
  const { lines } = text;
  const at = lines.flatMap((line, index) => (LOADED.test(line) ? [index] : []));
  if (at.length === 0) return undefined;
  const field = "loaded latencies";
  if (at.length > 1) throw text.fault(at[1], field, "a second table begins", "keep one of them");
  let index = at[0]! + 1;
  // Explanations, the heading of two lines and the rule: up to eight lines before the first row.
  while (index < lines.length && index <= at[0]! + 9 && !/^\s*\d+\s/.test(lines[index]!)) index++;
  const first = index;
  const rows: LoadedRow[] = [];
  for (; index < lines.length; index++) {
    const line = lines[index]!;
    if (!/^\s*\d+\s/.test(line)) {
      if (!isSpoiltRow(line)) break;
      text.report(index, field, `${quoted(line.trim())} is not delay, latency and bandwidth`, rerun);
      continue;
    }
    const cells = line.trim().split(/\s+/);
    const wrong = cells.slice(1).find((cell) => !FIGURE.test(cell) || Number(cell) <= 0);
    if (cells.length !== 3)
      text.report(index, field, `${cells.length} figures where delay, latency and bandwidth are expected`, rerun);
    else if (wrong !== undefined) text.report(index, field, `${quoted(wrong)} is not a figure above 0`, rerun);
    else rows.push({ latencyNs: Number(cells[1]), bandwidthMBs: Number(cells[2]) });
  }
  if (index - first < 2)
    throw text.fault(at[0], field, `${index - first} rows where a curve takes at least two`, rerun);
  return { rows, lines: [first + 1, index] };
}

/**
 * The curve: shares of the highest bandwidth in the table, and latency over the idle one. Where a busier row answered
 * faster, the slower latency stands.
 *
 * @param idleNs measured without load; the table's lowest where it is absent or higher
 */
export function loadedLatencyOf(rows: readonly LoadedRow[], source: string, idleNs?: number): LoadedLatency {
  const idle = Math.min(idleNs ?? Infinity, ...rows.map(({ latencyNs }) => latencyNs));
  const peak = Math.max(...rows.map(({ bandwidthMBs }) => bandwidthMBs));
  const slowest = new Map<number, number>();
  let highest = 1;
  for (const { latencyNs, bandwidthMBs } of [...rows].sort((a, b) => a.bandwidthMBs - b.bandwidthMBs)) {
    highest = Math.max(highest, latencyNs / idle);
    slowest.set(bandwidthMBs / peak, highest);
  }
  return { points: [...slowest].map(([utilisation, timesIdle]) => ({ utilisation, timesIdle })), source };
}
