/** Every node of the machine: what its CPUs gain, as bars of the means and as a table of the tests. */
import { coldHotPicture } from "./cold-hot.js";
import { type Figures, table } from "./html.js";

/** Says so where one CPU alone was measured. */
export function nodeSection(figures: Figures): string {
  const { nodes = [] } = figures.document.comparison;
  if (nodes.length === 0)
    return `<p>One CPU alone was measured: all figures are of CPU ${figures.number("comparison.cpu")}.</p>`;
  const tests = nodes[0]!.tests;
  return (
    coldHotPicture(
      nodes.map(({ node, coldPercent, hotPercent }, i) => ({
        label: `node ${figures.label(`comparison.nodes.${i}.node`)}`,
        name: `node ${node}`,
        coldPercent,
        hotPercent,
      })),
      "Mean gain of each node's CPUs in percent, caches cold above caches hot; the table below has the same figures",
    ) +
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
