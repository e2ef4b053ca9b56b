/**
 * A gain over what machines differ by, as a page, as part of one, or as one SVG file: a map for each kind and state of
 * the caches.
 */
import { AXIS_WIDTH } from "./axis.js";
import type { DrawnMap } from "./document.js";
import { at, escaped, Figures, picture } from "./html.js";
import { type HeatMap, heatMap, largestOf, MAP_STYLE, mapHeight } from "./heat-map.js";
import { SCRIPT, STYLE } from "./style.js";

/** One map. */
interface Panel extends HeatMap {
  readonly title: string;
}

const X = "L2 a core, bytes";
const Y = "latency of the image's node over the copy's";
const DIGITS = { digits: 2 } as const;

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];
const letter = (nth: number): string => String.fromCharCode("a".charCodeAt(0) + nth);
const titleOf = (map: DrawnMap): string => `Gain of ${map.test}, ${map.policy} against one copy, percent`;

/** @param under where the map lies in the figures' document, with a dot behind it; nothing where it is the document */
function panelsOf(map: DrawnMap, figures: Figures<unknown>, under: string): Panel[] {
  const { cells, processors } = map;
  return distinct(cells.map(({ cache }) => cache)).flatMap((cache) =>
    distinct(cells.map(({ inclusion }) => inclusion)).map((inclusion): Panel => {
      const own = cells.flatMap((cell, nth) =>
        cell.cache === cache && cell.inclusion === inclusion ? [{ ...cell, nth }] : [],
      );
      const xs = distinct(own.map(({ l2Bytes }) => l2Bytes));
      // Farthest on top.
      const ys = distinct(own.map(({ farOverNear }) => farOverNear)).reverse();
      const rows = ys.map((y) => xs.map((x) => own.find((cell) => cell.farOverNear === y && cell.l2Bytes === x)!));
      return {
        title: `${cache}, L3 ${inclusion}`,
        xs,
        ys,
        cells: rows.map((row) => row.map(({ gainPercent }) => gainPercent)),
        figureAt: (row, column) => figures.label(`${under}cells.${rows[row]![column]!.nth}.gainPercent`, { digits: 1 }),
        nameOf: (row) => figures.label(`${under}cells.${rows[row]![0]!.nth}.farOverNear`, DIGITS),
        marks: processors.flatMap(({ name, l2Bytes, farOverNear, inclusion: kind }, nth) =>
          kind === inclusion ? [{ name, label: letter(nth), x: l2Bytes, y: farOverNear }] : [],
        ),
      };
    }),
  );
}

/** So that a colour means the same in each. */
const largest = (panels: readonly Panel[]): number => largestOf(panels.flatMap(({ cells }) => cells));
const label = ({ title }: Panel): string => `${title}: ${X} across, ${Y} down`;

/** Maps on a page, with what they say and who stands on them. @param under as for panels */
export function gainMaps(map: DrawnMap, figures: Figures<unknown>, under = ""): string {
  const panels = panelsOf(map, figures, under);
  return (
    map.sentences.map((_, i) => `<p>${figures.text(`${under}sentences.${i}`)}</p>`).join("") +
    `<p class="dim">${escaped(`${X}, across; ${Y}, down. Lines are where the sign changes.`)}</p>` +
    panels
      .map(
        (panel) =>
          `<h3>${escaped(panel.title)}</h3>${picture(AXIS_WIDTH, mapHeight(panel.ys.length), label(panel), heatMap(panel, largest(panels)))}`,
      )
      .join("") +
    `<p>Processors, each at the nearest place:</p><ul>${map.processors
      .map(
        (_, nth) =>
          `<li>${letter(nth)}: ${figures.text(`${under}processors.${nth}.name`)}, ${figures.number(`${under}processors.${nth}.farOverNear`, DIGITS)}</li>`,
      )
      .join("")}</ul>`
  );
}

/** A self-contained page: no network, no script needed. */
export const gainMapPage = (map: DrawnMap): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escaped(titleOf(map))}</title><style>${STYLE}${MAP_STYLE}</style></head><body><header><button id="theme" type="button" hidden>light or dark</button><h1>${escaped(titleOf(map))}</h1></header><main><h2>Where copies gain</h2>${gainMaps(map, new Figures(map))}</main><script>${SCRIPT}</script></body></html>\n`;

/** Units between maps, and for a line of text. */
const [GAP, LINE] = [30, 18];

/** One SVG file with all maps below each other, in its reader's colours. */
export function gainMapPicture(map: DrawnMap): string {
  const figures = new Figures(map);
  const panels = panelsOf(map, figures, "");
  let top = LINE + 10;
  const head = `<text class="name" x="0" y="${LINE}">${escaped(titleOf(map))}</text>`;
  const maps = panels.map((panel) => {
    const drawn = `<text class="name" x="0" y="${at(top + LINE)}">${escaped(label(panel))}</text><g transform="translate(0 ${at(top + LINE + 6)})">${heatMap(panel, largest(panels))}</g>`;
    top += LINE + 6 + mapHeight(panel.ys.length) + GAP;
    return drawn;
  });
  const marks = map.processors.map((_, nth) => {
    const line = `<text x="0" y="${at(top)}">${letter(nth)}: ${figures.text(`processors.${nth}.name`, "tspan")}, ${figures.label(`processors.${nth}.farOverNear`, DIGITS)}</text>`;
    top += LINE;
    return line;
  });
  const sides = `viewBox="-10 0 ${AXIS_WIDTH + 20} ${at(top)}" width="${AXIS_WIDTH + 20}" height="${at(top)}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${sides} role="img" aria-label="${escaped(titleOf(map))}"><style>${STYLE}svg{background:var(--page)}${MAP_STYLE}</style>${head}${maps.join("")}${marks.join("")}</svg>\n`;
}
