/** Every node of the machine: what its CPUs gain, as bars of the means and as a table of the tests. */
import { AXIS_TOP, AXIS_WIDTH, legend, percentAxis } from "./axis.js";
import type { NodeGains } from "./document.js";
import { at, escaped, type Figures, picture, table, written } from "./html.js";

const ROW = 34;

/** Two bars a node, caches cold and hot, to both sides of nought. */
function nodePicture(figures: Figures, nodes: readonly NodeGains[]): string {
  const values = [0, ...nodes.flatMap(({ coldPercent, hotPercent }) => [coldPercent, hotPercent])];
  const step = Math.max(...values) - Math.min(...values) > 40 ? 20 : 5;
  const height = AXIS_TOP + nodes.length * ROW + 6;
  const { x, ticks } = percentAxis(values, step, () => step, height - 4);
  const rows = nodes.map((node, i) => {
    const y = AXIS_TOP + i * ROW;
    const bar = (percent: number, name: string, top: number): string =>
      `<rect class="${name}" x="${at(Math.min(x(0), x(percent)))}" y="${at(top)}" width="${at(Math.max(1, Math.abs(x(percent) - x(0))))}" height="11"/>`;
    const words = `node ${node.node}: ${written(node.coldPercent, { digits: 1 })} percent cold, ${written(node.hotPercent, { digits: 1 })} hot`;
    return `<g><title>${escaped(words)}</title><text x="4" y="${at(y + 19)}">node ${figures.label(`comparison.nodes.${i}.node`)}</text>${bar(node.coldPercent, "gain", y + 3)}${bar(node.hotPercent, "reported", y + 16)}</g>`;
  });
  return picture(
    AXIS_WIDTH,
    height,
    "Mean gain of each node's CPUs in percent, caches cold above caches hot; the table below has the same figures",
    ticks + rows.join("\n"),
  );
}

/** Says so where one CPU alone was measured. */
export function nodeSection(figures: Figures): string {
  const { nodes = [] } = figures.document.comparison;
  if (nodes.length === 0)
    return `<p>One CPU alone was measured: all figures are of CPU ${figures.number("comparison.cpu")}.</p>`;
  const tests = nodes[0]!.tests;
  const mark = (name: string, words: string) => [`<rect class="${name}" width="24" height="12"/>`, words] as const;
  return (
    nodePicture(figures, nodes) +
    legend(24, 12, [mark("gain", "caches cold"), mark("reported", "caches hot")]) +
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
