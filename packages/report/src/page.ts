/** The page: sections in the order a reader asks for them. */
import { bootSection } from "./boot.js";
import { busySection } from "./busy.js";
import { causeSection } from "./causes.js";
import type { ReportDocument } from "./document.js";
import { explainSection } from "./explain.js";
import { gainMaps } from "./gain-map.js";
import { gainLegend, gainPicture, gainTable } from "./gains.js";
import { MAP_STYLE } from "./heat-map.js";
import { escaped, Figures, folded, table } from "./html.js";
import { machineSection } from "./machine.js";
import { mixSection } from "./mix.js";
import { nodeSection } from "./nodes.js";
import { policySection } from "./policies.js";
import { SCRIPT, STYLE } from "./style.js";
import { tablesSection } from "./tables.js";

interface Section {
  readonly id: string;
  readonly title: string;
  readonly content: string;
}

/**
 * One self-contained HTML file: no network, no font, no script it cannot do without.
 *
 * @throws Error when the document lacks a number the page shows
 */
export function reportPage(document: ReportDocument): string {
  const figures = new Figures(document);
  const { comparison } = document;
  const atOnce = comparison.load?.atOnce ?? [];
  const sections: readonly Section[] = [
    { id: "verdict", title: "The verdict", content: verdict(figures) },
    {
      id: "gain",
      title: "What replication gains",
      content: gainPicture(figures) + gainLegend(comparison.tests) + gainTable(figures) + reported(figures),
    },
    ...(comparison.mix || comparison.rates
      ? [{ id: "mix", title: "With your own work", content: mixSection(figures) }]
      : []),
    ...(atOnce.length > 0 ? [{ id: "busy", title: "Many CPUs at once", content: busySection(figures, atOnce) }] : []),
    { id: "nodes", title: "Every node", content: nodeSection(figures) },
    { id: "why", title: "Why: where the cycles went", content: causeSection(figures) },
    ...(document.explain ? [{ id: "explain", title: "What it would take", content: explainSection(figures) }] : []),
    ...(document.map
      ? [
          {
            id: "map",
            title: "Where copies gain",
            content: `<p>Of ${figures.text("map.test")}, one copy against ${figures.text("map.policy")}:</p>${gainMaps(document.map, figures, "map.")}`,
          },
        ]
      : []),
    { id: "machine", title: "The machine, and what crosses its links", content: machineSection(figures) },
    { id: "memory", title: "What it costs in memory", content: memorySection(figures) },
    { id: "tables", title: "Page tables, before and after", content: tablesSection(figures) },
    { id: "boot", title: "The boot", content: bootSection(figures) },
    { id: "policies", title: "Designs compared", content: policySection(figures) },
    { id: "right", title: "Whether the copies are right", content: invariantSection(figures) },
    { id: "assumed", title: "What was assumed", content: assumptionSection(figures) },
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>kreplica: ${escaped(comparison.policy)} on ${escaped(comparison.machine)}</title><style>${STYLE}${document.map ? MAP_STYLE : ""}</style></head>
<body><header><button id="theme" type="button" hidden>light or dark</button><h1>Kernel text and rodata: once, or a copy on every node</h1>
<p>${figures.text("machine.description")}. ${figures.text("comparison.kernel")}, ${figures.number("comparison.levels")} levels of page tables, page-table isolation ${comparison.pti ? "on" : "off"}, policy ${figures.text("comparison.policy")}. The image lies on node ${figures.number("comparison.masterNode")}; figures of single tests are of CPU ${figures.number("comparison.cpu")}, the tests' data on node ${figures.number("comparison.dataNode")}.</p>
<nav aria-label="Sections">${sections.map(({ id, title }) => `<a href="#${id}">${title}</a>`).join(" ")}</nav></header>
<main>
${sections.map(({ id, title, content }) => `<section id="${id}"><h2>${title}</h2>${content}</section>`).join("\n")}
</main>
<footer><p>Made by <code>${figures.text("command")}</code>. All figures are modelled but those that say <em>reported</em>; every one of them stands in the JSON document of the same command with <code>--json</code>, at the place its <code>data-from</code> names.</p></footer>
<script>${SCRIPT}</script></body></html>
`;
}

/** In words: what the comparison itself says where it does, and the extremes of its table. */
function verdict(figures: Figures): string {
  const { tests, verdict: said } = figures.document.comparison;
  if (said)
    return `<div class="verdict">${said.sentences.map((_, i) => `<p>${figures.prose(`comparison.verdict.sentences.${i}`)}</p>`).join("")}</div>`;
  const sentence = (cache: "cold" | "hot"): string => {
    const shown = tests.flatMap((each, i) => (each.cache === cache ? [{ each, i }] : []));
    if (shown.length === 0) return "";
    const by = [...shown].sort((a, b) => b.each.gainPercent - a.each.gainPercent);
    const one = ({ i }: { readonly i: number }): string =>
      `${figures.text(`comparison.tests.${i}.test`)} ${figures.number(`comparison.tests.${i}.gainPercent`, { digits: 1, unit: "%" })} (${figures.number(`comparison.tests.${i}.gainLow`, { digits: 1 })} to ${figures.number(`comparison.tests.${i}.gainHigh`, { digits: 1 })})`;
    const last = by.length === 1 ? "" : `, and least ${one(by.at(-1)!)}`;
    return `<p>With ${cache} caches a copy on every node gains ${by.length === 1 ? "" : "most in "}${one(by[0]!)}${last}. Negative is a loss.</p>`;
  };
  return `<div class="verdict">${sentence("cold")}${sentence("hot")}<p>It costs ${figures.bytes("comparison.memory.extraBytes")} of memory once the kernel is up.</p><p class="dim">All figures are of CPU ${figures.number("comparison.cpu")} alone, on an otherwise idle machine.</p></div>`;
}

const reported = (figures: Figures): string =>
  figures.document.comparison.reported
    ? `<p class="dim">Reported: ${figures.text("comparison.reported.source")}.</p>`
    : "";

function memorySection(figures: Figures): string {
  const { perNode } = figures.document.comparison.memory;
  return (
    `<p>Copies and tables take ${figures.bytes("comparison.memory.extraBytes")}, counted in the tables of the booted kernel; the closed form says ${figures.bytes("comparison.memory.closedForm")}.</p>` +
    table(
      "Bytes of the kernel by node",
      ["node", "text", "rodata", "tables"],
      perNode.map((_, i) => [
        figures.number(`comparison.memory.perNode.${i}.node`),
        ...(["textBytes", "rodataBytes", "tableBytes"] as const).map((field) =>
          figures.bytes(`comparison.memory.perNode.${i}.${field}`),
        ),
      ]),
    )
  );
}

function invariantSection(figures: Figures): string {
  const { violated } = figures.document.comparison.invariants;
  const path = "comparison.invariants";
  return (
    `<p>${figures.number(`${path}.checked`)} invariants were checked on the booted kernel, ${violated.length === 0 ? "and all hold" : "and some do not"}; ${figures.number(`${path}.notReached`)} are about what this boot does not do.</p>` +
    violated
      .map(
        (_, i) =>
          `<p><b>${figures.text(`${path}.violated.${i}.id`)}</b>: ${figures.text(`${path}.violated.${i}.sentence`)}. Not so: ${figures.text(`${path}.violated.${i}.detail`)}</p>`,
      )
      .join("")
  );
}

function assumptionSection(figures: Figures): string {
  const { assumptions } = figures.document;
  const end = (i: number, field: "low" | "high"): string =>
    assumptions[i]![field] === undefined
      ? figures.text(`assumptions.${i}.value`)
      : figures.text(`assumptions.${i}.${field}`);
  return (
    `<p>Every number of the machine has a source; what is assumed says so. The interval of each gain is what the ranges below make of it.</p>` +
    folded(
      "Parameters, ranges and sources",
      table(
        "Parameters of the model",
        ["parameter", "value", "low", "high", "source"],
        assumptions.map((each, i) => [
          figures.text(`assumptions.${i}.name`),
          figures.text(`assumptions.${i}.value`),
          end(i, "low"),
          end(i, "high"),
          `${each.provisional ? "<b>assumed</b> " : ""}${figures.text(`assumptions.${i}.source`)}`,
        ]),
        { words: [4] },
      ),
    )
  );
}
