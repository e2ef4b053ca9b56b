/**
 * What replication itself does in the tests, and what it costs: part of the comparison's report. Values in, text out.
 */
import { type KernelPolicy, replicates } from "@kreplica/kernel";
import type { CompareResult, Comparison } from "@kreplica/replay";
import { heading, paragraph, renderTable, right, type Screen } from "./terminal.js";
import { grouped } from "./units.js";

const amount = (value: number): string =>
  value === 0 ? "-" : value < 10 ? String(Math.round(value * 100) / 100) : grouped(value);

/**
 * The table of replication's own work.
 * @param label a test's name in the other tables
 */
export function workText(
  { job, tests, policy, switchStores }: CompareResult,
  label: (each: Comparison) => string,
  screen: Screen,
): string {
  const title = heading("Replication's own work:", 'per iteration, in the cycles above as "repl"', screen);
  const left = [
    ...(switchStores > 0
      ? [
          `Left out, so that the gains above are too high by it: a process' first switch to each further node, which makes its PGD there and stores ${amount(switchStores)} entries; no recording has one: \`kreplica policies --compare\` runs it.`,
        ]
      : []),
    ...(policy.notCompared ?? []).map(
      (clause) =>
        `Left out, so that the gains above are too high by it: ${clause}; no recording has one: \`kreplica policies --compare\` runs it.`,
    ),
    ...(policy.unpriced ?? []),
    ...poked(tests, policy),
  ]
    .map((text) => paragraph(text, screen))
    .join("");
  if (job.work === false) return title + paragraph("Left out: --no-work.", screen) + left;
  const rows = tests
    .filter(({ cache }) => cache === "cold")
    .flatMap((cold) => {
      const {
        perNode: { work, lines },
      } = cold;
      if (work.pgdsMade + work.pgdsFreed + work.entryStores === 0) return [];
      const hot = tests.find((each) => each.cache === "hot" && each.file === cold.file)!;
      const { iterations } = cold;
      const share = ({ perNode, singleCopy }: Comparison): string =>
        `${((100 * perNode.account.replication) / singleCopy.cycles).toFixed(1)} %`;
      return [
        [
          label(cold),
          amount(work.pgdsMade / iterations),
          amount(work.pgdsFreed / iterations),
          amount(work.entryStores / iterations),
          amount(lines.replicationLoads / iterations),
          amount(lines.replicationStores / iterations),
          amount(lines.replicationInstructions / iterations),
          amount(cold.perNode.account.replication / iterations),
          share(cold),
          amount(hot.perNode.account.replication / iterations),
          share(hot),
        ],
      ];
    });
  if (rows.length === 0)
    return (
      title +
      paragraph(
        `None${left === "" ? "" : " of what was recorded"}: in no test does this kernel make a PGD or store a slot that one copy would not.`,
        screen,
      ) +
      left
    );
  return (
    title +
    renderTable(
      [
        { head: "" },
        right("PGDs\nmade"),
        right("PGDs\nfreed"),
        right("entries\nstored"),
        right("loads\n(lines)"),
        right("stores\n(lines)"),
        right("instr"),
        right("cycles\ncold"),
        right("of one\ncopy's"),
        right("cycles\nhot"),
        right("of one\ncopy's"),
      ],
      rows,
      screen,
    ) +
    "\n" +
    paragraph(
      "The booted kernel's own functions ran where the recorded one made, freed or filled a PGD; what they did beyond one copy's went through the CPU. What their lines push out of the caches shows in the other columns; --no-work leaves out both.",
      screen,
    ) +
    left
  );
}

/** Recordings that change text, whose copies the model does not change. */
function poked(tests: readonly Comparison[], policy: KernelPolicy): string[] {
  const some = tests.filter(({ cache, pokes }) => cache === "cold" && pokes > 0);
  if (some.length === 0 || !replicates(policy)) return [];
  return [
    `Left out, so that these gains are too high by it: ${some.map(({ test, pokes }) => `${test.name} changes kernel text ${pokes} times`).join("; ")}, and changing every copy is not modelled here; \`kreplica patch\` says what a change costs.`,
  ];
}
