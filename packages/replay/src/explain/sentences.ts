/** What an explanation comes to, in sentences that can be quoted: each a count of figures that are in it. */
import { CAUSE_NAMES, type CauseName, type Explained } from "./cause.js";
import { type Sensitivity, swingOf } from "./sensitivity.js";

const percentText = (value: number): string => (Math.abs(value) < 0.05 ? 0 : value).toFixed(1);
const named = ({ test, cache }: Explained): string => `${test} ${cache}`;
const listOf = (names: readonly string[]): string => names.join(", ");
const figuresText = (count: number): string => `${count} ${count === 1 ? "figure" : "figures"}`;

/** @param sensitivity widest first @returns none where there is nothing to tell of */
export function sentencesOf(
  figures: readonly Explained[],
  sensitivity: readonly Sensitivity[],
  machine: string,
): string[] {
  const all = figures.length;
  const sentences: string[] = [];
  if (all > 0) {
    const within = figures.filter((each) => each.within);
    sentences.push(
      `On ${machine}, ${within.length} of ${all} reported gains ${within.length === 1 ? "lies" : "lie"} within the modelled gain's limits${within.length === 0 ? "" : `: ${listOf(within.map(named))}`}.`,
    );
    const hot = figures.filter(({ cache }) => cache === "hot");
    const beyond = hot.filter((each) => each.outOfReach);
    if (hot.length > 0)
      sentences.push(
        `${beyond.length} of ${hot.length} reported hot gains are more than any near copy can save a core that keeps its L2${
          beyond.length === 0
            ? ""
            : `: ${listOf(beyond.map((each) => `${each.test} (${percentText(each.reportedPercent)} %, at most ${percentText(each.boundBeyondL2Percent)})`))}`
        }.`,
      );
    for (const name of CAUSE_NAMES) {
      const sentence = aboutCause(figures, name);
      if (sentence) sentences.push(sentence);
    }
    const plausible = figures.filter(({ causes }) => causes.some((each) => each.plausible === true));
    const no = figures.filter((each) => !plausible.includes(each));
    sentences.push(
      `${plausible.length} of ${all} are reached by a plausible value of one cause alone${no.length === 0 ? "" : `; not ${listOf(no.map(named))}`}.`,
    );
    const counts = CAUSE_NAMES.map(
      (name) => [name, figures.filter(({ smallest }) => smallest === name).length] as const,
    )
      .filter(([, count]) => count > 0)
      .sort((a, b) => b[1] - a[1]);
    if (counts.length > 0)
      sentences.push(
        `The smallest change of all is ${listOf(counts.map(([name, count]) => `${name} for ${figuresText(count)}`))}.`,
      );
  }
  const [widest] = sensitivity;
  if (widest)
    sentences.push(
      `Of all ranges, that of ${widest.parameter} (${widest.range}) moves the mean gain most: cold from ${percentText(widest.cold.low)} to ${percentText(widest.cold.high)} %, hot from ${percentText(widest.hot.low)} to ${percentText(widest.hot.high)}; by ${percentText(swingOf(widest))} points at most.`,
    );
  return sentences;
}

/** How many it reaches, and how many of those plausibly; nothing of what was not looked at. */
function aboutCause(figures: readonly Explained[], name: CauseName): string | undefined {
  const causes = figures.flatMap((figure) => {
    const cause = figure.causes.find((each) => each.cause === name)!;
    return cause.value === null && cause.nearest === null ? [] : [cause];
  });
  if (causes.length === 0) return undefined;
  const reached = causes.filter(({ value }) => value !== null);
  const plausible = reached.filter((each) => each.plausible === true);
  const unknown = reached.length > 0 && reached.every((each) => each.plausible === null);
  const subject = `${name.charAt(0).toUpperCase()}${name.slice(1)} alone`;
  return reached.length === 0
    ? `${subject} makes none of ${causes.length} equal.`
    : `${subject} makes ${reached.length} of ${causes.length} equal, ${unknown ? "with values nobody knows of this processor" : `${plausible.length === 0 ? "none" : plausible.length} with a plausible value`}.`;
}
