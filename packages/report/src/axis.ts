/** An axis in percent over the rows of a picture, and what the marks on it mean. */
import { at } from "./html.js";

/** Left of the axis stand the names of the rows. */
const LEFT = 110;
/** Pictures with an axis are all as wide. */
export const AXIS_WIDTH = 860;
/** The first row begins here; above it stand the ticks. */
export const AXIS_TOP = 26;

/** An axis that has room for all values and for nought. */
export interface Axis {
  /** Where a percentage stands. */
  x(percent: number): number;
  /** Its lines and their figures. */
  readonly ticks: string;
}

/**
 * @param grain the ends are multiples of it
 * @param stepOf from line to line, by how much the axis spans
 * @param bottom where the lines end
 */
export function percentAxis(
  values: readonly number[],
  grain: number,
  stepOf: (span: number) => number,
  bottom: number,
): Axis {
  const low = Math.floor(Math.min(0, ...values) / grain) * grain;
  const high = Math.max(low + grain, Math.ceil(Math.max(0, ...values) / grain) * grain);
  const x = (percent: number): number => LEFT + ((percent - low) / (high - low)) * (AXIS_WIDTH - LEFT - 20);
  const ticks: string[] = [];
  for (let value = low; value <= high; value += stepOf(high - low))
    ticks.push(
      `<line class="${value === 0 ? "zero" : "grid"}" x1="${at(x(value))}" x2="${at(x(value))}" y1="${AXIS_TOP - 6}" y2="${bottom}"/><text class="tick" x="${at(x(value))}" y="14" text-anchor="middle">${value} %</text>`,
    );
  return { x, ticks: ticks.join("") };
}

/** Marks of a picture and their words. @param width, height of each mark's drawing */
export const legend = (
  width: number,
  height: number,
  marks: readonly (readonly [shape: string, words: string])[],
): string =>
  `<ul class="legend">${marks
    .map(
      ([shape, words]) =>
        `<li><svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" aria-hidden="true">${shape}</svg> ${words}</li>`,
    )
    .join("")}</ul>`;
