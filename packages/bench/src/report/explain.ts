/** An explanation as text: a table of the figures, their causes, what ranges do, sentences. Values in, text out. */
import { CAUSE_NAMES, type Cause, type CauseName, type Explained, type Explanation, swingOf } from "@kreplica/replay";
import { heading, note, paragraph, renderTable, right, type Screen, wrap } from "./terminal.js";
import { countText, grouped } from "./units.js";

/** Columns of a screen from which on a parameter's range has a column of its own, and of the one for both below. */
const [WIDE, NARROW] = [90, 28];

const percent = (value: number): string => (Math.abs(value) < 0.05 ? 0 : value).toFixed(1);

/** Head of each cause's column. */
const HEADS: Readonly<Record<CauseName, string>> = {
  "load on the link": "load\nof peak",
  "pressure on the last-level cache": "pressure\nMB/s",
  inclusion: "incl.\n",
  "far/near ratio": "far/near\n",
  "L2 size": "L2\nKiB",
  layout: "layout\npoints",
  "single-shot noise": "noise\ncycles",
  "run-ahead": "ahead\nlines",
};

/** As it stands in the table and in the lines below it. */
export function valueText(cause: CauseName, value: number | string): string {
  if (typeof value === "string") return value;
  if (cause === "L2 size") return (value / 1024).toFixed(0);
  if (cause === "layout" || cause === "run-ahead") return value.toFixed(1);
  if (cause === "load on the link" || cause === "far/near ratio") return value.toFixed(2);
  return grouped(Math.round(value));
}

const cellOf = ({ cause, value, nearest, plausible }: Cause): string =>
  value !== null
    ? `${valueText(cause, value)}${plausible === true ? "*" : ""}`
    : nearest === null
      ? ""
      : `(${percent(nearest.percent)})`;

function rowOf(
  { test, cache, reportedPercent, modelledPercent, ...figure }: Explained,
  looked: readonly CauseName[],
): string[] {
  const { lowPercent, highPercent, within, outOfReach, causes, smallest } = figure;
  return [
    test,
    cache,
    percent(reportedPercent),
    percent(modelledPercent),
    `${percent(lowPercent)}..${percent(highPercent)}`,
    within ? "within" : outOfReach ? "no copy" : "",
    ...causes.filter(({ cause }) => looked.includes(cause)).map(cellOf),
    smallest ?? "none",
  ];
}

/** Those that were looked at for any figure. */
const lookedAt = (figures: readonly Explained[]): ReadonlySet<CauseName> =>
  new Set(
    figures.flatMap(({ causes }) =>
      causes.filter(({ value, nearest }) => value !== null || nearest !== null).map(({ cause }) => cause),
    ),
  );

const KEY =
  "A cell has the value of one cause alone with which the modelled gain equals the reported one, * where that lies in a range with a source; (in brackets) where no value does, the nearest gain. within: in the modelled gain's limits. no copy: above what a near copy can save a core that keeps its L2. smallest: the least part of its plausible range, or times it.";

export function explainText(explanation: Explanation, screen: Screen): string {
  const { machine, policy, source, figures, sensitivity, sentences, layouts, inPart } = explanation;
  const looked = CAUSE_NAMES.filter((name) => lookedAt(figures).has(name));
  return (
    heading(
      "What it would take:",
      `${machine}, ${policy}${source === undefined ? "" : `; reported ${source}`}`,
      screen,
    ) +
    (figures.length > 0
      ? renderTable(
          [
            { head: "" },
            { head: "" },
            right("reported\n%"),
            right("modelled\n%"),
            right("\nlow..high"),
            right(""),
            ...looked.map((cause) => right(HEADS[cause])),
            right("smallest\nchange"),
          ],
          figures.map((each) => rowOf(each, looked)),
          screen,
        ) +
        "\n" +
        note(KEY, screen)
      : paragraph("Nobody's figures are of this machine: --reported FILE names one's own.", screen)) +
    note(
      (layouts > 0 ? `${countText(layouts, "layout")} drawn. ` : "No layouts drawn. ") +
        (inPart.length > 0 ? `Told from an eighth of the test: ${inPart.join(", ")}.` : ""),
      screen,
    ) +
    `\n${screen.bold("What each range does to the mean gain")}\n` +
    renderTable(
      [
        { head: "" },
        ...(screen.columns >= WIDE ? [{ head: "range" }] : []),
        right("cold\n%"),
        right("hot\n%"),
        right("widest\npoints"),
      ],
      sensitivity.map((each) => [
        ...(screen.columns >= WIDE
          ? [each.parameter, each.range]
          : [wrap(`${each.parameter}, ${each.range}`, NARROW).join("\n")]),
        ...[each.cold, each.hot].map(({ low, high }) => `${percent(low)}..${percent(high)}`),
        percent(swingOf(each)),
      ]),
      screen,
    ) +
    `\n${screen.bold("In sentences")}\n` +
    sentences.map((each) => paragraph(each, screen)).join("")
  );
}

/** Why each cause's value is plausible or not, figure by figure. */
export const reasonsText = ({ figures }: Explanation, screen: Screen): string =>
  figures
    .map(
      (figure) =>
        `\n${screen.bold(`${figure.test}, ${figure.cache}`)}\n` +
        figure.causes
          .map(({ cause, value, unit, plausible, reason, nearest, between }) =>
            paragraph(
              `${cause}: ${
                value !== null
                  ? `${valueText(cause, value)}${cause === "L2 size" ? " KiB" : unit === "" ? "" : ` ${unit}`}${between ? ` (between ${[between.low, between.high].map((each) => valueText(cause, each)).join(" and ")})` : ""}, ${plausible === null ? "not known to be plausible" : plausible ? "plausible" : "not plausible"}; `
                  : nearest
                    ? `not reached, nearest ${percent(nearest.percent)} % at ${valueText(cause, nearest.value)}; `
                    : ""
              }${reason}.`,
              screen,
            ),
          )
          .join(""),
    )
    .join("");
