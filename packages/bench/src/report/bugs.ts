/** The museum as text: a list by rooms, or one bug whole. Values in, text out. */
import type { BugDocument, DefectDocument, ListedBug } from "./documents/bugs.js";
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

/** A title, and what is said below labels. */
const page = (title: string, parts: readonly (readonly [label: string, text: string])[], screen: Screen): string =>
  `${wrap(title, screen.columns)
    .map((line) => screen.bold(line))
    .join("\n")}\n\n${parts.map(([label, text]) => hanging(label, text, screen, 12)).join("")}`;

/** Where the way is to be stepped through. */
const lessonText = (link: string, screen: Screen): string =>
  `${wrap("Step through it: start kreplica explore and open", screen.columns).join("\n")}\n  ${link}\n`;

/** One defect of the series whole. @param sentences of the rules it breaks @param link to its lesson */
export const defectText = (
  defect: DefectDocument,
  sentences: readonly string[],
  link: string,
  screen: Screen,
): string =>
  page(
    `${defect.name}: ${defect.sentence}`,
    [
      ["where", defect.where],
      ["comes of it", defect.effect],
      ["known", `${defect.known}${defect.configuration ? `; on kernels with: ${defect.configuration}` : ""}`],
      ...defect.breaks.map((rule, nth) => [nth === 0 ? "caught by" : "", `${rule}: ${sentences[nth]!}`] as const),
    ],
    screen,
  ) + `\nkreplica check --defect ${defect.name} finds it from a seed.\n${lessonText(link, screen)}`;

/**
 * One bug whole.
 * @param sentence of its invariant @param kernel in words @param steps of its path in words @param link to
 * its lesson
 */
export function bugText(
  bug: BugDocument,
  {
    sentence,
    kernel,
    steps,
    link,
  }: {
    readonly sentence: string;
    readonly kernel: string;
    readonly steps: readonly string[];
    readonly link: string;
  },
  screen: Screen,
): string {
  const commits =
    bug.commits.length === 0
      ? "not found"
      : bug.commits.map(({ id, subject }) => `${id ?? "(id not found)"} ${subject}`).join("; ");
  return (
    page(
      `${bug.name}: ${bug.sentence}`,
      [
        ["happened", bug.happened],
        ["mended", bug.mended],
        ["commits", commits],
        ["caught by", `${bug.invariant}: ${sentence}`],
        ["copies", verdict(bug)],
        ["kernel", kernel],
      ],
      screen,
    ) +
    `\n${steps.length === 0 ? "The boot itself breaks the rule.\n" : `A short way:\n${steps.map((step, nth) => hanging(`${nth + 1}.`, step, screen, 4)).join("")}`}` +
    `\n${wrap(`kreplica check --bug ${bug.name} finds it from a seed; with --shortest it goes that way.`, screen.columns).join("\n")}\n${lessonText(link, screen)}`
  );
}
