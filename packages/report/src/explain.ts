/** What it would take for a modelled gain to equal a reported one: sentences, a table of causes, bars of the ranges. */
import { AXIS_TOP, AXIS_WIDTH, legend, percentAxis } from "./axis.js";
import type { ExplainedCause, Explanation } from "./document.js";
import { at, escaped, type Figures, picture, table, written } from "./html.js";

/** A line for a parameter's name, and two bars below it. */
const ROW = 40;

/** Digits and scale of a cause's value, by its unit. */
const formOf = ({ cause }: ExplainedCause) =>
  cause === "L2 size"
    ? { scale: 1024, unit: "KiB" }
    : {
        digits: ["load on the link", "far/near ratio"].includes(cause)
          ? 2
          : ["layout", "run-ahead"].includes(cause)
            ? 1
            : 0,
      };

/** The value that does it; where none does, the nearest gain in brackets. */
function causeCell(figures: Figures, path: string, cause: ExplainedCause): string {
  const mark = cause.plausible === true ? '<b title="plausible">*</b>' : "";
  if (typeof cause.value === "string") return figures.text(`${path}.value`) + mark;
  if (cause.value !== null) return figures.number(`${path}.value`, formOf(cause)) + mark;
  return cause.nearest ? `(${figures.number(`${path}.nearest.percent`, { digits: 1 })})` : "";
}

/** Least and most of the mean gain over each parameter's range, caches cold and hot, to both sides of nought. */
function rangePicture({ sensitivity }: Explanation): string {
  const values = sensitivity.flatMap(({ cold, hot }) => [cold.low, cold.high, hot.low, hot.high]);
  const height = AXIS_TOP + sensitivity.length * ROW + 6;
  const { x, ticks } = percentAxis(values, 10, (span) => (span > 60 ? 20 : 10), height - 4);
  const rows = sensitivity.map(({ parameter, cold, hot }, i) => {
    const y = AXIS_TOP + i * ROW;
    const bar = ({ low, high }: { readonly low: number; readonly high: number }, name: string, top: number): string =>
      `<rect class="${name}" x="${at(x(low))}" y="${at(top)}" width="${at(Math.max(1.5, x(high) - x(low)))}" height="10"/>`;
    const range = (of: { readonly low: number; readonly high: number }): string =>
      `${written(of.low, { digits: 1 })} to ${written(of.high, { digits: 1 })}`;
    const words = `${parameter}: ${range(cold)} percent cold, ${range(hot)} hot`;
    return `<g><title>${escaped(words)}</title><text x="4" y="${at(y + 11)}">${escaped(parameter)}</text>${bar(cold, "gain", y + 15)}${bar(hot, "reported", y + 26)}</g>`;
  });
  return picture(
    AXIS_WIDTH,
    height,
    "Mean gain over each parameter's range in percent, caches cold above caches hot; the table below has the same figures",
    ticks + rows.join("\n"),
  );
}

/** @throws Error when the document has no explanation */
export function explainSection(figures: Figures): string {
  const explanation = figures.document.explain!;
  const { figures: explained, sensitivity, sentences, source } = explanation;
  const causes = explained[0]?.causes.map(({ cause }) => cause) ?? [];
  const looked = causes.flatMap((cause, k) =>
    explained.some(({ causes: of }) => of[k]!.value !== null || of[k]!.nearest !== null) ? [{ cause, k }] : [],
  );
  const mark = (name: string, words: string) => [`<rect class="${name}" width="24" height="12"/>`, words] as const;
  return (
    sentences.map((_, i) => `<p>${figures.text(`explain.sentences.${i}`)}</p>`).join("") +
    (explained.length === 0
      ? "<p>Nobody's figures are of this machine.</p>"
      : table(
          `For each reported gain the value of one cause alone that makes the modelled one equal to it, * where it is plausible; in brackets the nearest gain, percent, where none does.${source === null ? "" : ` Reported ${figures.text("explain.source")}.`}`,
          ["test", "caches", "reported", "modelled", "", ...looked.map(({ cause }) => escaped(cause)), "least change"],
          explained.map(({ cache, within, outOfReach, smallest, causes: of }, i) => [
            figures.text(`explain.figures.${i}.test`),
            cache,
            figures.number(`explain.figures.${i}.reportedPercent`, { digits: 1 }),
            figures.number(`explain.figures.${i}.modelledPercent`, { digits: 1 }),
            within ? "within its limits" : outOfReach ? "out of reach of any near copy" : "",
            ...looked.map(({ k }) => causeCell(figures, `explain.figures.${i}.causes.${k}`, of[k]!)),
            escaped(smallest ?? "none"),
          ]),
          { words: [4] },
        )) +
    "<h3>What each range does to the mean gain</h3>" +
    rangePicture(explanation) +
    legend(24, 12, [mark("gain", "caches cold"), mark("reported", "caches hot")]) +
    table(
      "Mean gain over the tests, percent, at the ends of each parameter's range; widest first",
      ["parameter", "range", "cold, least", "most", "hot, least", "most"],
      sensitivity.map((_, i) => [
        figures.text(`explain.sensitivity.${i}.parameter`),
        figures.text(`explain.sensitivity.${i}.range`),
        ...(["cold", "hot"] as const).flatMap((cache) =>
          (["low", "high"] as const).map((end) =>
            figures.number(`explain.sensitivity.${i}.${cache}.${end}`, { digits: 1 }),
          ),
        ),
      ]),
      { words: [1] },
    )
  );
}
