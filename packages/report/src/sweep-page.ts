/** A sweep's figures over two axes as a page: a map of colours with every figure in it, and a curve for each row. */
import { AXIS_TOP, AXIS_WIDTH } from "./axis.js";
import {
  type AxisPlace,
  heatMap,
  MAP_LEFT as LEFT,
  MAP_STYLE,
  mapHeight,
  type PlacedMark,
  placeText,
} from "./heat-map.js";
import { at, escaped, picture, written } from "./html.js";
import { SCRIPT, STYLE } from "./style.js";

/** What is shown. */
export interface SweepPicture {
  readonly title: string;
  /** What the figures are, and what they were averaged over: words. */
  readonly about: string;
  readonly x: string;
  readonly y: string;
  readonly column: string;
  readonly xs: readonly AxisPlace[];
  readonly ys: readonly AxisPlace[];
  /** By y, then x; null where there is none. */
  readonly cells: readonly (readonly (number | null)[])[];
  /** Things that have a place on both axes, by name: values, not indices. */
  readonly marks: readonly PlacedMark[];
}

/** Steps of the hue from curve to curve. */
const HUE = 137;
const CURVES_HEIGHT = 320;

function curves({ x, y, column, xs, ys, cells }: SweepPicture): string {
  const values = cells.flat().filter((each) => each !== null);
  const [least, most] = [Math.min(0, ...values), Math.max(0, ...values)];
  const span = most === least ? 1 : most - least;
  const across = (i: number): number => LEFT + ((AXIS_WIDTH - LEFT - 20) * i) / Math.max(1, xs.length - 1);
  const down = (value: number): number => AXIS_TOP + ((most - value) / span) * (CURVES_HEIGHT - AXIS_TOP - 24);
  const ticks = [0, 1, 2, 3, 4].map((nth) => {
    const value = least + (span * nth) / 4;
    return `<line class="grid" x1="${LEFT}" x2="${AXIS_WIDTH - 20}" y1="${at(down(value))}" y2="${at(down(value))}"/><text class="tick" x="${LEFT - 8}" y="${at(down(value) + 4)}" text-anchor="end">${written(value, { digits: 1 })}</text>`;
  });
  const feet = xs.map(
    (value, i) =>
      `<text class="tick" x="${at(across(i))}" y="${CURVES_HEIGHT - 4}" text-anchor="middle">${escaped(placeText(value))}</text>`,
  );
  const colour = (j: number): string => `hsl(${(j * HUE + 210) % 360} 60% 45%)`;
  const lines = cells.map((row, j) => {
    const points = row.flatMap((value, i) => (value === null ? [] : [`${at(across(i))},${at(down(value))}`]));
    return `<polyline fill="none" stroke="${colour(j)}" stroke-width="2" points="${points.join(" ")}"><title>${escaped(`${y} ${placeText(ys[j]!)}`)}</title></polyline>`;
  });
  const legend = ys
    .map(
      (value, j) =>
        `<li><svg viewBox="0 0 18 10" width="18" height="10" aria-hidden="true"><line x1="0" x2="18" y1="5" y2="5" stroke="${colour(j)}" stroke-width="3"/></svg> ${escaped(placeText(value))}</li>`,
    )
    .join("");
  return `${picture(AXIS_WIDTH, CURVES_HEIGHT, `${column} along ${x}, a curve for each ${y}`, ticks.join("") + feet.join("") + lines.join(""))}<ul class="legend">${legend}</ul>`;
}

/** A self-contained page: no network, no script needed. */
export function sweepPage(shownPicture: SweepPicture): string {
  const { title, about, x, y, column, marks, ys } = shownPicture;
  const numbered = { ...shownPicture, marks: marks.map((mark, nth) => ({ ...mark, label: String(nth + 1) })) };
  const marked =
    marks.length === 0
      ? ""
      : `<p>Marked at the nearest place:</p><ol>${marks.map(({ name, x: here, y: there }) => `<li>${escaped(`${name}: ${placeText(here)}, ${written(there, { digits: 2 })}`)}</li>`).join("")}</ol>`;
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escaped(title)}</title><style>${STYLE}${MAP_STYLE}</style></head><body><header><button id="theme" type="button" hidden>light or dark</button><h1>${escaped(title)}</h1><p>${escaped(about)}</p></header><main><h2>${escaped(column)} over ${escaped(x)} (across) and ${escaped(y)} (down)</h2>${picture(AXIS_WIDTH, mapHeight(ys.length), `${column} over ${x} and ${y}`, heatMap(numbered))}${marked}<h2>The same as curves</h2>${curves(shownPicture)}</main><script>${SCRIPT}</script></body></html>\n`;
}
