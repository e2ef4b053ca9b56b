/** Lessons of the museum: bugs that Linux had, each by the short way to it that the museum keeps. */
import { kindOfBug, policyOfBug } from "@kreplica/check";
import { type Bug, type BugCopies, bugOf, BUGS } from "@kreplica/museum";
import type { Lesson } from "./lesson.js";

/**
 * The page looks at every rule after each step, the check at those that the step may have broken: of these bugs the
 * page sees another rule broken, and sooner.
 */
const SEEN_FIRST: Readonly<Record<string, string>> = { "ldt-freed-mapped": "C6", "offline-keeps-mm": "G1" };

const lessonOf = (bug: Bug): Lesson => {
  const { nodes, levels, pti, configuration } = kindOfBug(bug);
  return {
    id: bug.id,
    room: bug.room,
    nodes,
    levels,
    pti,
    ...(configuration === undefined ? {} : { configuration }),
    policy: policyOfBug(bug).name,
    laid: [bug.id],
    operations: bug.path,
    invariant: SEEN_FIRST[bug.id] ?? bug.invariant,
  };
};

/** Room by room, as the museum has them. */
export const MUSEUM_LESSONS: readonly Lesson[] = BUGS.map(lessonOf);

const comesTo = (rule: string | undefined): string => (rule === undefined ? "nothing breaks" : `${rule} breaks`);

/** What copies make of a bug, in two sentences and the museum's own. */
export const copiesText = ({ with: perNode, without, words }: BugCopies): string =>
  `With a copy on each node ${comesTo(perNode)}; with a single copy ${comesTo(without)}. ${words}`;

/** A bug's words beside its lesson; undefined for what is no bug of the museum. */
export function wordsOfBug(id: string): { sentence: string; about: string; copies: string } | undefined {
  const bug = bugOf(id);
  if (!bug) return undefined;
  const { sentence, happened, mended, commits, copies } = bug;
  const subjects = commits.map(({ id: commit, subject }) => (commit === undefined ? subject : `${commit} ${subject}`));
  return { sentence, about: `${happened} ${mended} Commits: ${subjects.join("; ")}.`, copies: copiesText(copies) };
}
