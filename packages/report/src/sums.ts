/** What the page shows and no command prints: where the cycles went, an iteration, in a dozen causes. */
import type { Account, ComparedTest, Comparison, Sources, WhyBar } from "./document.js";

const sum = ({ l2, ownL3, otherL3, local, remote }: Sources): number => l2 + ownL3 + otherL3 + local + remote;

/** Causes in the order they are drawn; together all cycles of an account. */
export const CAUSES = [
  "instructions",
  "text from L2",
  "text from its L3",
  "text from another L3",
  "text from near memory",
  "text from far memory",
  "rodata",
  "data",
  "page walks",
  "replication's own work",
  "user mode, modules, second TLB, interrupts",
] as const;

/** Cycles by cause. @returns one number for each of {@link CAUSES} */
export function causes(account: Account): number[] {
  const { text } = account;
  return [
    account.instructions,
    text.l2,
    text.ownL3,
    text.otherL3,
    text.local,
    text.remote,
    sum(account.rodata),
    sum(account.data),
    account.walks.l1 + sum(account.walks),
    account.replication,
    account.user + account.modules + account.secondTlb + account.interrupts,
  ];
}

/** Cycles that waited on memory of another node. */
const far = ({ text, rodata, data, walks }: Account): number =>
  text.remote + rodata.remote + data.remote + walks.remote;

const rounded = (value: number): number => Math.round(value * 1000) / 1000;

const bar = (
  { test, cache, iterations }: ComparedTest,
  kernel: WhyBar["kernel"],
  { cycles, account }: ComparedTest["singleCopy"],
): WhyBar => ({
  test,
  cache,
  kernel,
  cycles: rounded(cycles / (iterations ?? 1)),
  parts: causes(account).map((part, i) => ({ cause: CAUSES[i]!, cycles: rounded(part / (iterations ?? 1)) })),
  farCycles: rounded(far(account) / (iterations ?? 1)),
});

/** Two bars a test and state of the caches, cold ones first. Cycles an iteration, to a thousandth. */
export const whyBars = ({ tests }: Comparison): WhyBar[] =>
  (["cold", "hot"] as const)
    .flatMap((cache) => tests.filter((test) => test.cache === cache))
    .flatMap((test) => [bar(test, "one copy", test.singleCopy), bar(test, "copies", test.perNode)]);
