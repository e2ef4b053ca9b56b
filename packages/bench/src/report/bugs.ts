/** The museum as text: a list by rooms, or one bug whole. Values in, text out. */
import type { BugDocument, ListedBug } from "./documents/bugs.js";
import { hanging, type Screen, wrap } from "./terminal.js";

const LABEL = 26;

/** A line each, room by room. */
export const bugListText = (bugs: readonly ListedBug[], screen: Screen): string =>
  [...new Set(bugs.map(({ room }) => room))]
    .map(
      (room) =>
        `${screen.bold(room)}\n` +
        bugs
          .filter((each) => each.room === room)
          .map(({ name, sentence }) => hanging(name, sentence, screen, LABEL))
          .join(""),
    )
    .join("\n");

/** What copies make of it, from the two runs. */
const verdict = ({ copies }: BugDocument): string => {
  const ends = (rule: string | undefined): string => (rule === undefined ? "is clean" : `ends in ${rule}`);
  return `with a copy a node the path ${ends(copies.with)}, with a single copy it ${ends(copies.without)}. ${copies.words}`;
};

/**
 * One bug whole.
 * @param sentence of its invariant @param kernel in words @param steps of its path in words
 */
export function bugText(
  bug: BugDocument,
  {
    sentence,
    kernel,
    steps,
  }: { readonly sentence: string; readonly kernel: string; readonly steps: readonly string[] },
  screen: Screen,
): string {
  const part = (label: string, text: string): string => hanging(label, text, screen, 12);
  const commits =
    bug.commits.length === 0
      ? "not found"
      : bug.commits.map(({ id, subject }) => `${id ?? "(id not found)"} ${subject}`).join("; ");
  return (
    `${wrap(`${bug.name}: ${bug.sentence}`, screen.columns)
      .map((line) => screen.bold(line))
      .join("\n")}\n\n` +
    part("happened", bug.happened) +
    part("mended", bug.mended) +
    part("commits", commits) +
    part("caught by", `${bug.invariant}: ${sentence}`) +
    part("copies", verdict(bug)) +
    part("kernel", kernel) +
    `\n${steps.length === 0 ? "The boot itself breaks the rule.\n" : `The shortest way:\n${steps.map((step, nth) => hanging(`${nth + 1}.`, step, screen, 4)).join("")}`}` +
    `\nkreplica check --bug ${bug.name} finds it from a seed; with --shortest it goes that way.\n`
  );
}
