/** Questions that every sweep's rows are asked: what decides a figure, along one axis, over two. Plain arithmetic. */
import type { Row } from "./journal.js";
import type { AxisValue } from "./plan.js";

/** A figure over some rows. */
export interface Spread {
  readonly rows: number;
  readonly mean: number;
  readonly least: number;
  readonly most: number;
}

/** What rows with one value on an axis have. */
export interface Along extends Spread {
  readonly value: AxisValue;
}

/** Numbers of a column; rows without one are passed over. */
export const figuresOf = (rows: readonly Row[], column: string): number[] =>
  rows.map((row) => row[column]).filter((each) => typeof each === "number");

const meanOf = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / values.length;

function spreadOf(values: readonly number[]): Spread {
  let [least, most] = [Infinity, -Infinity];
  for (const each of values) {
    if (each < least) least = each;
    if (each > most) most = each;
  }
  return { rows: values.length, mean: meanOf(values), least, most };
}

/** Rows by their value on an axis, in the order in which values first stand. */
function groups(rows: readonly Row[], axis: string): ReadonlyMap<AxisValue, readonly Row[]> {
  const found = new Map<AxisValue, Row[]>();
  for (const row of rows) {
    const value = row[axis] ?? null;
    const group = found.get(value);
    if (group) group.push(row);
    else found.set(value, [row]);
  }
  return found;
}

/** A column along an axis: all other axes averaged over. */
export const along = (rows: readonly Row[], axis: string, column: string): readonly Along[] =>
  [...groups(rows, axis)].flatMap(([value, of]) => {
    const figures = figuresOf(of, column);
    return figures.length === 0 ? [] : [{ value, ...spreadOf(figures) }];
  });

/**
 * How much of a column's variance an axis explains by itself, 0 to 1: the variance of its values' means, over the
 * variance of all. What axes do together is in none of them, so that they sum to less than 1 in a full product.
 *
 * @returns 0 where the column does not vary
 */
export function shareOf(rows: readonly Row[], axis: string, column: string): number {
  const all = figuresOf(rows, column);
  const mean = meanOf(all);
  const whole = all.reduce((sum, each) => sum + (each - mean) ** 2, 0);
  if (whole === 0 || all.length === 0) return 0;
  return along(rows, axis, column).reduce((sum, each) => sum + each.rows * (each.mean - mean) ** 2, 0) / whole;
}

/** A column over two axes: means, `null` where there is no row. */
export interface Grid {
  readonly x: string;
  readonly y: string;
  readonly column: string;
  readonly xs: readonly AxisValue[];
  readonly ys: readonly AxisValue[];
  /** By y, then x. */
  readonly cells: readonly (readonly (number | null)[])[];
}

/** Numbers in their order, all else in the order in which it first stands. */
const ordered = (values: readonly AxisValue[]): AxisValue[] =>
  values.every((each) => typeof each === "number")
    ? [...values].sort((a, b) => (a as number) - (b as number))
    : [...values];

/** @param x an axis, or any column with few values @param y another */
export function gridOf(rows: readonly Row[], x: string, y: string, column: string): Grid {
  const byRow = groups(rows, y);
  const xs = ordered([...groups(rows, x).keys()]);
  const ys = ordered([...byRow.keys()]);
  const cells = ys.map((value) => {
    const byColumn = groups(byRow.get(value)!, x);
    return xs.map((each) => {
      const figures = figuresOf(byColumn.get(each) ?? [], column);
      return figures.length === 0 ? null : meanOf(figures);
    });
  });
  return { x, y, column, xs, ys, cells };
}

/** Rows as CSV with a head, lines ending in CR LF, as RFC 4180 has it. */
export function csvOf(columns: readonly string[], rows: readonly (readonly AxisValue[])[]): string {
  const field = (value: AxisValue): string => {
    const text = value === null ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");
}
