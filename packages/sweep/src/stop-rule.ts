/**
 * Enough precision: cells that differ along one axis alone, layouts say, are measured in the plan's order until the
 * mean of their gains is known well enough. What is measured depends on what was found and on nothing else, so that
 * shards, queues and one run stop at the same cell.
 */
import type { Row } from "./journal.js";
import type { SweepPlan } from "./plan.js";
import type { Point } from "./points.js";

/** A plan's `stop`. */
export type StopRule = NonNullable<SweepPlan["stop"]>;

/** Values measured from one look to the next where a plan does not say. */
const EACH = 4;

/**
 * Student's t at 97.5 % for 1 to 30 degrees of freedom; beyond them that of 30, which asks for a little more than
 * needed.
 *
 * @source NIST/SEMATECH e-Handbook of Statistical Methods, Critical Values of the Student's t Distribution
 */
const STUDENT = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/**
 * Half of the interval in which the mean of what was drawn lies, at 95 %, as if each look were the only one.
 * @returns Infinity for fewer than two values
 */
export function halfWidthOf(values: readonly number[]): number {
  const count = values.length;
  if (count < 2) return Infinity;
  const mean = values.reduce((sum, each) => sum + each, 0) / count;
  const squares = values.reduce((sum, each) => sum + (each - mean) ** 2, 0);
  return STUDENT[Math.min(count - 1, STUDENT.length) - 1]! * Math.sqrt(squares / (count - 1) / count);
}

/** Whether cells tell enough: in each state of the caches the mean of `gainPercent`. @param cells rows of each */
export function isEnough({ halfWidthPercent }: StopRule, cells: readonly (readonly Row[])[]): boolean {
  const gains = new Map<Row[string], number[]>();
  for (const rows of cells)
    for (const { cache, gainPercent } of rows)
      if (typeof gainPercent === "number") gains.set(cache ?? null, [...(gains.get(cache ?? null) ?? []), gainPercent]);
  return gains.size > 0 && [...gains.values()].every((values) => halfWidthOf(values) <= halfWidthPercent);
}

/**
 * For each point the number of its group: points of one differ along the axis alone. Numbers in order of first points.
 */
export function groupsAlong(axis: string, points: readonly Point[]): readonly number[] {
  const numbers = new Map<string, number>();
  return points.map((point) => {
    const key = JSON.stringify(Object.entries(point).filter(([name]) => name !== axis));
    if (!numbers.has(key)) numbers.set(key, numbers.size);
    return numbers.get(key)!;
  });
}

/** What a rule asks for, from what is known. */
export interface Wanted {
  /** Cells that are part of the results as far as it is known: places in the list. */
  readonly cells: readonly number[];
  /** Those of them that are still to be measured; none when the sweep is done. */
  readonly missing: readonly number[];
}

/**
 * Cells of each group up to the first look at which they tell enough, or all of it.
 *
 * @param groups by cell, in the plan's order @param rowsAt what a cell said, undefined before it is measured
 */
export function wantedOf(
  rule: StopRule,
  groups: readonly number[],
  rowsAt: (cell: number) => readonly Row[] | undefined,
): Wanted {
  const each = rule.each ?? EACH;
  const members = new Map<number, number[]>();
  groups.forEach((group, cell) => members.set(group, [...(members.get(group) ?? []), cell]));
  const cells: number[] = [];
  const missing: number[] = [];
  for (const group of members.values())
    for (let at = 0; at < group.length; at += each) {
      const part = group.slice(at, at + each);
      cells.push(...part);
      const open = part.filter((cell) => rowsAt(cell) === undefined);
      missing.push(...open);
      if (
        open.length > 0 ||
        isEnough(
          rule,
          group.slice(0, at + each).map((cell) => rowsAt(cell)!),
        )
      )
        break;
    }
  return { cells: cells.sort((a, b) => a - b), missing: missing.sort((a, b) => a - b) };
}
