/**
 * Operations until a rule breaks, median of ten seeds, for every bug of the museum and every defect of the series: by
 * chance alone and directed, from the operations of all families and from those that the bug's own search draws.
 *
 *   node scripts/effort.mjs [--most OPERATIONS] [NAME ...]     needs a build
 */
import { BUGS } from "@kreplica/museum";
import { perNode } from "@kreplica/kernel";
import {
  canShow,
  configuredKinds,
  FAMILIES,
  familiesOf,
  familiesOfBug,
  kernelOf,
  kernelOfBug,
  medianEffort,
  operationsToFind,
  SERIES_IDS,
  withSeries,
} from "@kreplica/check";

const SEEDS = 10;
const given = process.argv.slice(2);
const at = given.indexOf("--most");
const most = at < 0 ? 10_000 : Number(given.splice(at, 2)[1]);

const kinds = [
  { nodes: 2, levels: 4, pti: true },
  { nodes: 3, levels: 4, pti: false },
];
const all = [
  ...BUGS.map((bug) => ({
    name: bug.id,
    kernel: kernelOfBug(bug, true),
    families: familiesOfBug(bug),
    comparison: bug.comparedOnly ? "end" : "off",
  })),
  ...SERIES_IDS.flatMap((name) => {
    const kind = [...kinds, ...configuredKinds(kinds)].find((each) => canShow(name, each));
    return kind
      ? [
          {
            name,
            kernel: withSeries(kernelOf(perNode, kind), kind, [name]),
            families: familiesOf(name),
            comparison: "end",
          },
        ]
      : [];
  }),
].filter(({ name }) => given.length === 0 || given.includes(name));

const told = (effort) => (effort === undefined ? `over ${most}` : String(Math.round(effort)));
console.log(
  "| bug | its operations, by chance | directed | all operations, by chance | directed |\n|---|---|---|---|---|",
);
for (const { name, kernel, families, comparison } of all) {
  const cells = [families, FAMILIES].flatMap((drawn) =>
    [false, true].map((directed) =>
      told(
        medianEffort(
          Array.from({ length: SEEDS }, (_, nth) =>
            operationsToFind({ kernel, families: drawn, seed: 1 + nth * 7919, steps: 200, most, comparison, directed }),
          ),
        ),
      ),
    ),
  );
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}
