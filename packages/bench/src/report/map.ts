/** A test's gain over what machines differ by, as text. Values in, text out. */
import type { GainMap, MapPanel } from "@kreplica/replay";
import { nearestPlace, writtenSign } from "@kreplica/report";
import type { KnownProcessor } from "./documents/map.js";
import { heading, note, paragraph, type Screen, visibleLength } from "./terminal.js";
import { countText } from "./units.js";

/** Letters of a row's name, and of a cell: a border, a figure, whether its sign is sure, a mark. */
const [NAME, FIGURE] = [6, 5];
const CELL = FIGURE + 3;
/** Blanks before every line, and between maps. */
const [INDENT, GAP] = [2, 1];

const percent = (value: number): string => (writtenSign(value) === 0 ? 0 : value).toFixed(1);
const ratioText = (value: number): string => value.toFixed(2);
const sizeText = (bytes: number): string => (bytes >= 2 ** 20 ? `${bytes / 2 ** 20}M` : `${bytes / 1024}K`);
const titleOf = ({ cache, inclusion }: MapPanel): string => `${cache}, L3 ${inclusion}`;

/** Who stands at a place of the axes, by row and column. */
function standing(
  { axes }: GainMap,
  { inclusion }: MapPanel,
  processors: readonly KnownProcessor[],
): ReadonlyMap<string, readonly string[]> {
  const places = new Map<string, string[]>();
  for (const { name, l2Bytes, farOverNear, inclusion: own } of processors) {
    if (own !== inclusion) continue;
    const key = `${nearestPlace(axes.farOverNear, farOverNear)},${nearestPlace(axes.l2Bytes, l2Bytes)}`;
    places.set(key, [...(places.get(key) ?? []), name]);
  }
  return places;
}

/** Letters for places where processors stand: the same for those of the same names, in whatever map. */
function lettersOf(map: GainMap, processors: readonly KnownProcessor[]): ReadonlyMap<string, string> {
  const letters = new Map<string, string>();
  for (const panel of map.panels)
    for (const names of standing(map, panel, processors).values()) {
      const key = names.join(", ");
      if (!letters.has(key)) letters.set(key, String.fromCharCode("a".charCodeAt(0) + letters.size));
    }
  return letters;
}

/** Lines of one map, all of a width. Farthest on top. */
function panelLines(
  map: GainMap,
  panel: MapPanel,
  processors: readonly KnownProcessor[],
  letters: ReadonlyMap<string, string>,
  screen: Screen,
): string[] {
  const { axes } = map;
  const places = standing(map, panel, processors);
  const sign = (row: number, column: number): number => writtenSign(panel.gains[row]![column]!.percent);
  const lines = [
    screen.bold(titleOf(panel)),
    screen.dim(
      "ratio".padEnd(NAME) +
        axes.l2Bytes
          .map((bytes) =>
            sizeText(bytes)
              .padStart(FIGURE + 1)
              .padEnd(CELL),
          )
          .join(""),
    ),
  ];
  for (let row = axes.farOverNear.length - 1; row >= 0; row--) {
    const cells = axes.l2Bytes.map((_, column) => {
      const { percent: figure, low, high } = panel.gains[row]![column]!;
      const border = column > 0 && sign(row, column) !== sign(row, column - 1) ? "|" : " ";
      const unsure = writtenSign(low) * writtenSign(high) < 0 ? "?" : " ";
      const mark = letters.get((places.get(`${row},${column}`) ?? []).join(", ")) ?? " ";
      return border + percent(figure).padStart(FIGURE) + unsure + mark;
    });
    lines.push(ratioText(axes.farOverNear[row]!).padStart(NAME - 1) + " " + cells.join(""));
    if (row === 0 || !axes.l2Bytes.some((_, column) => sign(row, column) !== sign(row - 1, column))) continue;
    const under = axes.l2Bytes.map((_, column) =>
      sign(row, column) === sign(row - 1, column) ? " ".repeat(CELL) : ` ${"-".repeat(FIGURE)}  `,
    );
    lines.push(" ".repeat(NAME) + under.join(""));
  }
  const zero = panel.breakEven.map(({ farOverNear }) =>
    (farOverNear === null ? "none" : ratioText(farOverNear)).padStart(FIGURE + 1).padEnd(CELL),
  );
  lines.push(screen.dim("zero".padEnd(NAME) + zero.join("")));
  return lines;
}

/** Maps beside each other as far as the screen goes. */
function sideBySide(panels: readonly (readonly string[])[], screen: Screen): string {
  const width = Math.max(...panels.flat().map(visibleLength));
  const beside = Math.max(1, Math.floor((screen.columns - INDENT + GAP) / (width + GAP)));
  let text = "";
  for (let from = 0; from < panels.length; from += beside) {
    const row = panels.slice(from, from + beside);
    const height = Math.max(...row.map(({ length }) => length));
    for (let line = 0; line < height; line++) {
      const parts = row.map((lines) => lines[line] ?? "");
      const padded = parts.map((part) => part + " ".repeat(width - visibleLength(part)));
      text += `${" ".repeat(INDENT)}${padded.join(" ".repeat(GAP))}`.trimEnd() + "\n";
    }
    text += "\n";
  }
  return text;
}

/** What one map says, in words. */
function sentence(panel: MapPanel, { axes }: GainMap): string {
  const signs = panel.gains.flat().map((each) => writtenSign(each.percent));
  const count = (sign: number): number => signs.filter((each) => each === sign).length;
  const zeros = panel.breakEven.flatMap(({ farOverNear }) => (farOverNear === null ? [] : [farOverNear]));
  const [least, most] = [Math.min(...zeros), Math.max(...zeros)].map(ratioText);
  const turns =
    zeros.length === 0
      ? "no distance turns the sign"
      : `far over near of ${least === most ? least! : `${least!} to ${most!}`} turns the sign${zeros.length < axes.l2Bytes.length ? `, with ${zeros.length} of ${countText(axes.l2Bytes.length, "size")} of L2` : ""}`;
  return `${titleOf(panel)}: ${count(1)} of ${countText(signs.length, "place")} gain, ${count(-1)} lose; ${turns}.`;
}

/** What was run, and how sure it is. */
function aboutRuns({ axes, machine, pressure, share, sampling }: GainMap): string[] {
  const runs = axes.l2Bytes.length * axes.inclusions.length;
  return [
    `All modelled: ${machine} with other L2s, L3s and distances, all else its own; ${countText(runs, "machine")} run, distances are priced.${pressure > 0 ? ` Each other core reads ${pressure} MB/s through the L3.` : ""}`,
    ...(sampling === undefined
      ? []
      : [
          `Told from ${share === 1 / 8 ? "an eighth" : share.toFixed(3)} of the test: off by ${sampling.cold.toFixed(1)} cold, ${sampling.hot.toFixed(1)} hot where both were run, on the machine as it is.`,
        ]),
  ];
}

export function mapText(map: GainMap, processors: readonly KnownProcessor[], screen: Screen): string {
  const letters = lettersOf(map, processors);
  const marks = [...letters].map(([names, letter]) => `${letter} ${names}`);
  return (
    heading(
      `Gain of ${map.test.name}`,
      `in percent, ${map.policy} against one copy, by L2 a core (across) and latency of the image's node over the copy's (down)`,
      screen,
      ", ",
    ) +
    "\n" +
    sideBySide(
      map.panels.map((panel) => panelLines(map, panel, processors, letters, screen)),
      screen,
    ) +
    map.panels.map((panel) => paragraph(sentence(panel, map), screen)).join("") +
    note(
      `Lines: the sign changes; what is written 0.0 has none. ?: its limits have both. zero: the ratio at which nothing is gained.`,
      screen,
    ) +
    (marks.length === 0 ? "" : note(`At the nearest place: ${marks.join("; ")}.`, screen)) +
    aboutRuns(map)
      .map((each) => note(each, screen))
      .join("")
  );
}

/** The same sentences, to be quoted. */
export const mapSentences = (map: GainMap): string[] => [
  ...map.panels.map((panel) => sentence(panel, map)),
  ...aboutRuns(map),
];
