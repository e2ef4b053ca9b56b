/** What a mix of system calls gains, and what so many processes, forks and migrations cost. */
import { type Figures, table } from "./html.js";

/** The mix; nothing where nobody gave one. */
export function mixSection(figures: Figures): string {
  const { mix, rates } = figures.document.comparison;
  return (mix ? weighted(figures) : "") + (rates ? costs(figures) : "");
}

function weighted(figures: Figures): string {
  const mix = figures.document.comparison.mix!;
  const path = "comparison.mix";
  const number = (field: string, digits = 1): string => figures.number(`${path}.${field}`, { digits });
  const gain =
    mix.gainPercent === null
      ? "No test that was compared is of any of its calls: nothing is known of this mix."
      : `The mix gains <b>${number("gainPercent")} %</b> (${number("gainLow")} to ${number("gainHigh")}).`;
  const time =
    typeof mix.coveredTimePercent === "number" ? `, ${number("coveredTimePercent")} % of the file's time` : "";
  return (
    `<p>${gain} That is of the ${number("coveredCalls", 0)} of ${number("calls", 0)} calls of ${figures.text(`${path}.file`)} that recordings are of${time}; ${number("coldPercent", 0)} % of them find the caches cold.</p>` +
    table(
      "Tests by their share of the covered calls' cycles",
      ["test", "calls", "cycles, percent", "gain, percent"],
      mix.tests.map((_, i) => [
        figures.text(`${path}.tests.${i}.test`),
        figures.number(`${path}.tests.${i}.calls`),
        figures.number(`${path}.tests.${i}.weightPercent`, { digits: 1 }),
        figures.number(`${path}.tests.${i}.gainPercent`, { digits: 1 }),
      ]),
    ) +
    (mix.nodes.length === 0
      ? ""
      : table(
          "Gain of the mix by the node of the CPU",
          ["node", "CPUs", "gain, percent"],
          mix.nodes.map((_, i) => [
            figures.number(`${path}.nodes.${i}.node`),
            figures.number(`${path}.nodes.${i}.cpus`),
            figures.number(`${path}.nodes.${i}.gainPercent`, { digits: 1 }),
          ]),
        )) +
    (mix.uncovered.length === 0
      ? ""
      : table(
          "Calls that no recording is of",
          ["call", "calls"],
          mix.uncovered.map((_, i) => [
            figures.text(`${path}.uncovered.${i}.name`),
            figures.number(`${path}.uncovered.${i}.calls`),
          ]),
        ))
  );
}

function costs(figures: Figures): string {
  const { processes, forks, migrations } = figures.document.comparison.rates!;
  const path = "comparison.rates";
  const time = (of: "forks" | "migrations"): string =>
    (of === "forks" ? forks : migrations)?.time
      ? `${figures.number(`${path}.${of}.time.machinePercent.cold`, { digits: 3 })} % of the machine's CPUs cold, ${figures.number(`${path}.${of}.time.machinePercent.hot`, { digits: 3 })} hot`
      : "a time that was not run";
  return (
    (processes
      ? `<p>${figures.number(`${path}.processes.count`)} processes take ${figures.bytes(`${path}.processes.bytes`)} of page tables more, ${figures.bytes(`${path}.processes.everywhereBytes`)} once each has run on every node.</p>`
      : "") +
    (forks ? `<p>${figures.number(`${path}.forks.perSecond`)} forks a second take ${time("forks")} more.</p>` : "") +
    (migrations
      ? `<p>${figures.number(`${path}.migrations.perSecond`)} migrations a second take ${time("migrations")} more, and ${figures.number(`${path}.migrations.stores`)} stores to page tables each.</p>`
      : "")
  );
}
