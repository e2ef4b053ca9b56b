/** The gain of each test as a picture: interval, layout, bounds and reported figure on one axis; and as a table. */
import { AXIS_TOP, AXIS_WIDTH, legend, percentAxis } from "./axis.js";
import { at, escaped, type Figures, picture, table, written } from "./html.js";
import type { ComparedTest } from "./document.js";

const ROW = 30;

/** Tests in the order they are shown: cold ones first. */
export const inOrder = (
  tests: readonly ComparedTest[],
): readonly { readonly each: ComparedTest; readonly i: number }[] =>
  (["cold", "hot"] as const).flatMap((cache) =>
    tests.flatMap((each, i) => (each.cache === cache ? [{ each, i }] : [])),
  );

/** Spread by where functions lie; undefined where no layouts were run. */
const layoutOf = ({ layoutLow, layoutHigh }: ComparedTest): readonly [low: number, high: number] | undefined =>
  typeof layoutLow === "number" && typeof layoutHigh === "number" ? [layoutLow, layoutHigh] : undefined;

/** Values that are drawn of a test. */
const drawn = (each: ComparedTest): number[] => [
  each.gainLow,
  each.gainHigh,
  each.boundPercent,
  ...(typeof each.reportedPercent !== "number" ? [] : [each.reportedPercent]),
  ...(layoutOf(each) ?? []),
];

/** One axis for all tests, in percent of the single copy's cycles. */
export function gainPicture(figures: Figures): string {
  const { tests } = figures.document.comparison;
  const rows = inOrder(tests);
  const height = AXIS_TOP + rows.length * ROW + 10;
  const { x, ticks } = percentAxis(tests.flatMap(drawn), 10, (span) => (span > 100 ? 20 : 10), height - 8);
  const marks = rows.map(({ each, i }, row) => {
    const y = AXIS_TOP + row * ROW + ROW / 2;
    const bar = (from: number, to: number, name: string, thick: number): string =>
      `<rect class="${name}" x="${at(x(from))}" y="${at(y - thick / 2)}" width="${at(Math.max(1.5, x(to) - x(from)))}" height="${thick}" rx="2"/>`;
    const reported =
      typeof each.reportedPercent !== "number"
        ? ""
        : `<path class="reported" d="M${at(x(each.reportedPercent))} ${at(y - 7)}l6 7l-6 7l-6-7z"/>`;
    const spread = layoutOf(each);
    const layout = spread ? bar(...spread, "layout", 16) : "";
    const bound =
      each.boundPercent > 0
        ? `<line class="bound" x1="${at(x(each.boundPercent))}" x2="${at(x(each.boundPercent))}" y1="${at(y - 10)}" y2="${at(y + 10)}"/>`
        : "";
    const words = `${each.test} ${each.cache}: gain ${written(each.gainPercent, { digits: 1 })} percent, ${written(each.gainLow, { digits: 1 })} to ${written(each.gainHigh, { digits: 1 })}${typeof each.reportedPercent !== "number" ? "" : `, reported ${written(each.reportedPercent, { digits: 1 })}`}`;
    return `<g><title>${escaped(words)}</title>${row % 2 === 0 ? `<rect class="stripe" x="0" y="${at(y - ROW / 2)}" width="${AXIS_WIDTH}" height="${ROW}"/>` : ""}<text x="4" y="${at(y + 4)}">${figures.text(`comparison.tests.${i}.test`, "tspan")} ${each.cache}</text>${layout}${bar(each.gainLow, each.gainHigh, "interval", 8)}${bound}<circle class="gain" cx="${at(x(each.gainPercent))}" cy="${at(y)}" r="5"/>${reported}</g>`;
  });
  return picture(
    AXIS_WIDTH,
    height,
    "Gain of replication in percent, a row for each test; the table below has the same figures",
    ticks + marks.join("\n"),
  );
}

/** Marks of the picture, explained. */
export const gainLegend = (tests: readonly ComparedTest[]): string =>
  legend(24, 16, [
    ['<circle class="gain" cx="12" cy="8" r="5"/>', "gain in this model, every parameter at its value"],
    [
      '<rect class="interval" x="1" y="4" width="22" height="8" rx="2"/>',
      "all parameters at whichever end of their ranges gives least and most",
    ],
    ...(tests.some(layoutOf)
      ? ([
          ['<rect class="layout" x="1" y="0" width="22" height="16" rx="2"/>', "spread by where functions lie"],
        ] as const)
      : []),
    [
      '<line class="bound" x1="12" x2="12" y1="0" y2="16"/>',
      "bound: what near text could save, were every fetch beyond L1 to go to memory",
    ],
    ...(tests.some(({ reportedPercent }) => typeof reportedPercent === "number")
      ? ([['<path class="reported" d="M12 1l6 7l-6 7l-6-7z"/>', "reported, not modelled"]] as const)
      : []),
  ]);

/** The same as a table. */
export function gainTable(figures: Figures): string {
  const { tests } = figures.document.comparison;
  const percent = (i: number, field: keyof ComparedTest): string =>
    typeof tests[i]![field] === "number"
      ? figures.number(`comparison.tests.${i}.${field}`, { digits: 1 })
      : '<span class="none">none</span>';
  const beyond = tests.some(({ boundBeyondL2Percent }) => boundBeyondL2Percent !== undefined);
  const layout = tests.some(layoutOf);
  const reported = tests.some(({ reportedPercent }) => typeof reportedPercent === "number");
  return table(
    "Gain of replication, percent of the cycles with one copy; positive is faster",
    [
      "test",
      "caches",
      "one copy, cycles",
      "copies, cycles",
      "gain",
      "low",
      "high",
      ...(layout ? ["layout low", "layout high"] : []),
      "bound",
      ...(beyond ? ["bound beyond L2"] : []),
      ...(reported ? ["reported"] : []),
    ],
    inOrder(tests).map(({ each, i }) => [
      figures.text(`comparison.tests.${i}.test`),
      each.cache,
      figures.number(`comparison.tests.${i}.singleCopy.cycles`),
      figures.number(`comparison.tests.${i}.perNode.cycles`),
      `<b>${percent(i, "gainPercent")}</b>`,
      percent(i, "gainLow"),
      percent(i, "gainHigh"),
      ...(layout ? [percent(i, "layoutLow"), percent(i, "layoutHigh")] : []),
      percent(i, "boundPercent"),
      ...(beyond ? [percent(i, "boundBeyondL2Percent")] : []),
      ...(reported ? [percent(i, "reportedPercent")] : []),
    ]),
  );
}
