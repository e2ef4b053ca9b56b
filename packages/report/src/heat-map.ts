/** Figures over two axes as a map of colours with every figure in it, lines where the sign changes, and marks. */
import { AXIS_TOP, AXIS_WIDTH } from "./axis.js";
import { at, escaped, written } from "./html.js";

/** A value on an axis. */
export type AxisPlace = string | number | boolean | null;

/** A thing that has a place on both axes: values, not indices. */
export interface PlacedMark {
  readonly name: string;
  readonly x: number;
  readonly y: number;
}

/** What a map shows. */
export interface HeatMap {
  readonly xs: readonly AxisPlace[];
  readonly ys: readonly AxisPlace[];
  /** By y, then x; null where there is none. */
  readonly cells: readonly (readonly (number | null)[])[];
  /** Each stands where the values are nearest. */
  readonly marks: readonly (PlacedMark & { readonly label: string })[];
  /** How a figure and a row's name are written, as markup; as numbers where absent. */
  readonly figureAt?: (row: number, column: number) => string;
  readonly nameOf?: (row: number) => string;
}

/** Room for the names of the rows; the rest of an axis' width is the figures'. */
export const MAP_LEFT = 110;
const ROW = 34;
/** A stronger colour would hide the figure in it. */
const STRONGEST = 0.55;

/** How a value on an axis is written. */
export const placeText = (value: AxisPlace): string =>
  typeof value === "number" && value >= 1024 && value % 1024 === 0
    ? bytesShown(value)
    : typeof value === "number" && !Number.isInteger(value)
      ? String(Number(value.toFixed(3)))
      : String(value);
const bytesShown = (bytes: number): string => (bytes % 2 ** 20 === 0 ? `${bytes / 2 ** 20} Mi` : `${bytes / 1024} Ki`);

/** The place whose value is nearest, among numbers. */
export function nearestPlace(values: readonly AxisPlace[], wanted: number): number {
  let best = -1;
  for (const [i, value] of values.entries())
    if (
      typeof value === "number" &&
      (best < 0 || Math.abs(value - wanted) < Math.abs((values[best] as number) - wanted))
    )
      best = i;
  return best;
}

/** Of a figure as it is written: what is written as nought has none. */
export const writtenSign = (value: number): number => Math.sign(Number(value.toFixed(1)));

/** Height of a map with so many rows. */
export const mapHeight = (rows: number): number => AXIS_TOP + rows * ROW + 4;

/** Strongest colour for the largest figure of those that are compared. */
export const largestOf = (cells: HeatMap["cells"]): number =>
  Math.max(...cells.flat().map((each) => Math.abs(each ?? 0)), Number.MIN_VALUE);

/** @param largest of all maps that stand beside each other @returns what stands in an SVG, as wide as an axis */
export function heatMap({ xs, ys, cells, marks, figureAt, nameOf }: HeatMap, largest = largestOf(cells)): string {
  const width = (AXIS_WIDTH - MAP_LEFT) / xs.length;
  const heads = xs.map(
    (value, i) =>
      `<text class="tick" x="${at(MAP_LEFT + (i + 0.5) * width)}" y="16" text-anchor="middle">${escaped(placeText(value))}</text>`,
  );
  const rows = cells.map((row, j) => {
    const top = AXIS_TOP + j * ROW;
    const boxes = row.map((value, i) => {
      if (value === null) return "";
      const place = `x="${at(MAP_LEFT + i * width)}" y="${top}" width="${at(width)}" height="${ROW}"`;
      return `<rect ${place} class="${value < 0 ? "worse" : "gain"}" fill-opacity="${Math.round((Math.abs(value) / largest) * STRONGEST * 100) / 100}"/><text x="${at(MAP_LEFT + (i + 0.5) * width)}" y="${top + ROW / 2 + 4}" text-anchor="middle">${figureAt?.(j, i) ?? written(value, { digits: 1 })}</text>`;
    });
    return `<text class="name" x="0" y="${top + ROW / 2 + 4}">${nameOf?.(j) ?? escaped(placeText(ys[j]!))}</text>${boxes.join("")}`;
  });
  return heads.join("") + rows.join("") + borders(cells, width) + placed(xs, ys, marks, width);
}

/** Lines between neighbours whose figures differ in sign. */
function borders(cells: HeatMap["cells"], width: number): string {
  const differ = (a: number | null | undefined, b: number | null | undefined): boolean =>
    typeof a === "number" && typeof b === "number" && writtenSign(a) !== writtenSign(b);
  const line = (x1: number, y1: number, x2: number, y2: number): string =>
    `<line class="turn" x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}"/>`;
  return cells
    .flatMap((row, j) =>
      row.flatMap((value, i) => {
        const [left, top] = [MAP_LEFT + i * width, AXIS_TOP + j * ROW];
        return [
          ...(differ(value, row[i - 1]) ? [line(left, top, left, top + ROW)] : []),
          ...(differ(value, cells[j - 1]?.[i]) ? [line(left, top, left + width, top)] : []),
        ];
      }),
    )
    .join("");
}

/** Marks, those of one place beside each other. */
function placed(xs: HeatMap["xs"], ys: HeatMap["ys"], marks: HeatMap["marks"], width: number): string {
  const places = new Map<
    string,
    { readonly i: number; readonly j: number; readonly here: HeatMap["marks"][number][] }
  >();
  for (const mark of marks) {
    const [i, j] = [nearestPlace(xs, mark.x), nearestPlace(ys, mark.y)];
    if (i < 0 || j < 0) continue;
    const key = `${i},${j}`;
    const place = places.get(key) ?? { i, j, here: [] };
    place.here.push(mark);
    places.set(key, place);
  }
  return [...places.values()]
    .map(
      ({ i, j, here }) =>
        `<text class="name" x="${at(MAP_LEFT + i * width + 4)}" y="${AXIS_TOP + j * ROW + 13}">${here.map(({ label }) => label).join(", ")}<title>${escaped(here.map(({ name }) => name).join(", "))}</title></text>`,
    )
    .join("");
}

/** Beside the page's style sheet. */
export const MAP_STYLE = ".worse{fill:var(--far)}.turn{stroke:var(--ink);stroke-width:2.5}";
