/** Every node of the machine: what its CPUs gain, as bars of the means and as a table of the tests. */
import type { NodeGains } from "./document.js";
import { at, escaped, type Figures, picture, table, written } from "./html.js";

const LEFT = 110;
const WIDTH = 860;
const ROW = 34;
const TOP = 26;

/** Two bars a node, caches cold and hot, to both sides of nought. */
function nodePicture(figures: Figures, nodes: readonly NodeGains[]): string {
  const values = [0, ...nodes.flatMap(({ coldPercent, hotPercent }) => [coldPercent, hotPercent])];
  const step = Math.max(...values) - Math.min(...values) > 40 ? 20 : 5;
  const low = Math.floor(Math.min(...values) / step) * step;
  const high = Math.max(low + step, Math.ceil(Math.max(...values) / step) * step);
  const x = (percent: number): number => LEFT + ((percent - low) / (high - low)) * (WIDTH - LEFT - 20);
  const height = TOP + nodes.length * ROW + 6;
  const ticks: string[] = [];
  for (let value = low; value <= high; value += step)
    ticks.push(
      `<line class="${value === 0 ? "zero" : "grid"}" x1="${at(x(value))}" x2="${at(x(value))}" y1="${TOP - 6}" y2="${height - 4}"/><text class="tick" x="${at(x(value))}" y="14" text-anchor="middle">${value} %</text>`,
    );
  const rows = nodes.map((node, i) => {
    const y = TOP + i * ROW;
    const bar = (percent: number, name: string, top: number): string =>
      `<rect class="${name}" x="${at(Math.min(x(0), x(percent)))}" y="${at(top)}" width="${at(Math.max(1, Math.abs(x(percent) - x(0))))}" height="11"/>`;
    const words = `node ${node.node}: ${written(node.coldPercent, { digits: 1 })} percent cold, ${written(node.hotPercent, { digits: 1 })} hot`;
    return `<g><title>${escaped(words)}</title><text x="4" y="${at(y + 19)}">node ${figures.label(`comparison.nodes.${i}.node`)}</text>${bar(node.coldPercent, "gain", y + 3)}${bar(node.hotPercent, "reported", y + 16)}</g>`;
  });
  return picture(
    WIDTH,
    height,
    "Mean gain of each node's CPUs in percent, caches cold above caches hot; the table below has the same figures",
    ticks.join("") + rows.join("\n"),
  );
}

/** Nothing where one CPU alone was measured. */
export function nodeSection(figures: Figures): string {
  const { nodes = [] } = figures.document.comparison;
  if (nodes.length === 0)
    return `<p>One CPU alone was measured: all figures are of CPU ${figures.number("comparison.cpu")}.</p>`;
  const tests = nodes[0]!.tests;
  const mark = (name: string, words: string): string =>
    `<li><svg viewBox="0 0 24 12" width="24" height="12" aria-hidden="true"><rect class="${name}" width="24" height="12"/></svg> ${words}</li>`;
  return (
    nodePicture(figures, nodes) +
    `<ul class="legend">${mark("gain", "caches cold")}${mark("reported", "caches hot")}</ul>` +
    table(
      "Gain by the node of the CPU that runs the test, percent; mean is over the tests",
      [
        "node",
        "CPUs",
        "to the image, ns",
        "counted on node",
        "mean, cold",
        "mean, hot",
        ...tests.map(({ cache }, i) => `${figures.text(`comparison.nodes.0.tests.${i}.test`)}, ${cache}`),
      ],
      nodes.map((node, i) => [
        figures.number(`comparison.nodes.${i}.node`),
        figures.number(`comparison.nodes.${i}.cpus`),
        figures.number(`comparison.nodes.${i}.imageNs`, { digits: 1 }),
        figures.number(`comparison.nodes.${i}.measuredOn`),
        `<b>${figures.number(`comparison.nodes.${i}.coldPercent`, { digits: 1 })}</b>`,
        `<b>${figures.number(`comparison.nodes.${i}.hotPercent`, { digits: 1 })}</b>`,
        ...node.tests.map((_, t) => figures.number(`comparison.nodes.${i}.tests.${t}.gainPercent`, { digits: 1 })),
      ]),
    )
  );
}
