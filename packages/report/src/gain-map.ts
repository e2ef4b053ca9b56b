/** A gain over what machines differ by, as a page or as one SVG file: a map for each kind and state of the caches. */
import { AXIS_WIDTH } from "./axis.js";
import { at, escaped, picture, written } from "./html.js";
import { type HeatMap, heatMap, largestOf, MAP_STYLE, mapHeight } from "./heat-map.js";
import { SCRIPT, STYLE } from "./style.js";

/** One map; its marks are those of the picture that belong on it. */
export interface MapPanelPicture extends HeatMap {
  readonly title: string;
}

/** What is shown. */
export interface GainMapPicture {
  readonly title: string;
  /** What the figures are, a paragraph each. */
  readonly about: readonly string[];
  /** What stands across, and down. */
  readonly x: string;
  readonly y: string;
  readonly panels: readonly MapPanelPicture[];
}

/** Of all maps, so that a colour means the same in each. */
const largest = ({ panels }: GainMapPicture): number => largestOf(panels.flatMap(({ cells }) => cells));

const label = ({ x, y }: GainMapPicture, { title }: MapPanelPicture): string => `${title}: ${x} across, ${y} down`;

/** Marks of all maps, each once, by number. */
const marksOf = ({ panels }: GainMapPicture): HeatMap["marks"] =>
  [...new Map(panels.flatMap(({ marks }) => marks).map((mark) => [mark.number, mark])).values()].sort(
    (a, b) => a.number - b.number,
  );

/** Maps on a page that stands by itself, or on another, with what their numbers mean. */
export const gainMaps = (shown: GainMapPicture): string =>
  `<p class="dim">${escaped(`${shown.x} across, ${shown.y} down.`)}</p>` +
  shown.panels
    .map(
      (panel) =>
        `<h3>${escaped(panel.title)}</h3>${picture(AXIS_WIDTH, mapHeight(panel.ys.length), label(shown, panel), heatMap(panel, largest(shown)))}`,
    )
    .join("") +
  `<p>Numbers are processors, at the nearest place:</p><ol>${marksOf(shown)
    .map(({ name, number, y }) => `<li value="${number}">${escaped(`${name}, ${written(y, { digits: 2 })}`)}</li>`)
    .join("")}</ol>`;

/** A self-contained page: no network, no script needed. */
export const gainMapPage = (shown: GainMapPicture): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escaped(shown.title)}</title><style>${STYLE}${MAP_STYLE}</style></head><body><header><button id="theme" type="button" hidden>light or dark</button><h1>${escaped(shown.title)}</h1>${shown.about.map((each) => `<p>${escaped(each)}</p>`).join("")}</header><main>${gainMaps(shown)}</main><script>${SCRIPT}</script></body></html>\n`;

/** Units between maps, and for a line of text. */
const [GAP, LINE] = [30, 18];

/** One SVG file with all maps below each other, in its reader's colours. */
export function gainMapPicture(shown: GainMapPicture): string {
  let top = LINE + 10;
  const head = `<text class="name" x="0" y="${LINE}">${escaped(shown.title)}</text>`;
  const maps = shown.panels.map((panel) => {
    const height = mapHeight(panel.ys.length);
    const drawn = `<text class="name" x="0" y="${at(top + LINE)}">${escaped(label(shown, panel))}</text><g transform="translate(0 ${at(top + LINE + 6)})">${heatMap(panel, largest(shown))}</g>`;
    top += LINE + 6 + height + GAP;
    return drawn;
  });
  const marks = marksOf(shown).map(({ name, number, y }) => {
    const line = `<text x="0" y="${at(top)}">${escaped(`${number}: ${name}, ${written(y, { digits: 2 })}`)}</text>`;
    top += LINE;
    return line;
  });
  const sides = `viewBox="-10 0 ${AXIS_WIDTH + 20} ${at(top)}" width="${AXIS_WIDTH + 20}" height="${at(top)}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${sides} role="img" aria-label="${escaped(shown.title)}"><style>${STYLE}svg{background:var(--page)}${MAP_STYLE}</style>${head}${maps.join("")}${marks.join("")}</svg>\n`;
}
