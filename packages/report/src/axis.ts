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

/** Where an axis stands: its ends along the picture, and the lines' ends across it. */
interface AxisPlace {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/**
 * @param grain the ends are multiples of it
 * @param stepOf from line to line, by how much the axis spans
 * @param place its bottom, where it begins behind the rows' names and is as wide as the picture
 */
export function percentAxis(
  values: readonly number[],
  grain: number,
  stepOf: (span: number) => number,
  place: number | AxisPlace,
): Axis {
  const { left, right, top, bottom } =
    typeof place === "number" ? { left: LEFT, right: AXIS_WIDTH - 20, top: AXIS_TOP, bottom: place } : place;
  const low = Math.floor(Math.min(0, ...values) / grain) * grain;
  const high = Math.max(low + grain, Math.ceil(Math.max(0, ...values) / grain) * grain);
  const x = (percent: number): number => left + ((percent - low) / (high - low)) * (right - left);
  const ticks: string[] = [];
  const step = stepOf(high - low);
  // Nought is among them, wherever the axis begins.
  for (let value = Math.ceil(low / step) * step; value <= high; value += step)
    ticks.push(
      `<line class="${value === 0 ? "zero" : "grid"}" x1="${at(x(value))}" x2="${at(x(value))}" y1="${top - 6}" y2="${bottom}"/><text class="tick" x="${at(x(value))}" y="14" text-anchor="middle">${value} %</text>`,
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
