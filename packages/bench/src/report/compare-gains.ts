/**
 * The comparison's first table: what replication gains, how much of it is the place of the text, and what was reported.
 * Values in, text out.
 */
import { stemOf } from "@kreplica/trace";
import { replicates, wordsOf } from "@kreplica/kernel";
import type { CacheState, CompareResult, Comparison } from "@kreplica/replay";
import { ns, otherNodesText, placeText } from "./node-places.js";
import { heading, paragraph, renderTable, right, type Screen } from "./terminal.js";
import { grouped } from "./units.js";

const states: readonly CacheState[] = ["cold", "hot"];

/** One decimal, no negative zero. */
export const percentText = (value: number): string => (Math.abs(value) < 0.05 ? 0 : value).toFixed(1);
/** A gain; a loss of more than all there was as how many times as long it takes. */
export const gainText = (value: number): string =>
  value < -100 ? `x${(1 - value / 100).toFixed(value < -900 ? 0 : 1)}` : percentText(value);

/** The same, good or bad where it is either. */
export const paintedGain = (value: number, screen: Screen): string =>
  value > 0.05 ? screen.good(gainText(value)) : value < -0.05 ? screen.bad(gainText(value)) : gainText(value);

const ofTheirLength = ({ test, iterations }: Comparison): boolean =>
  test.reported === undefined || test.iterations === iterations;

/**
 * Name in the tables; a star where fewer or more calls were recorded than the authors made, the file where two
 * recordings are of one test.
 */
export function labelOf(each: Comparison, all: readonly Comparison[]): string {
  const name = `${each.test.name}${ofTheirLength(each) ? "" : "*"}`;
  return all.some((other) => other.file !== each.file && other.test.name === each.test.name)
    ? `${name} (${stemOf(each.file)})`
    : name;
}

/** Whom the CPU stands for, and which nodes it says nothing about. */
export function standingText({
  job: { spec, where },
  policy,
  standing: { own, nodes },
  machine,
}: CompareResult): string {
  const { node, relation, copyNs, copyOn } = own;
  const copy =
    !replicates(policy) || relation === "same node"
      ? ""
      : copyOn === node
        ? `, ${ns(copyNs)} from its own copy`
        : `; it has no copy under this policy and uses node ${copyOn}'s, ${ns(copyNs)} away`;
  const stand = `stand for the CPUs of node ${node}, ${placeText(own)}${copy}`;
  if (machine)
    return `The tables below are of CPU ${where.cpu} and ${stand}; "Every node" and the verdict are of all ${nodes.length}.`;
  return `All figures are of CPU ${where.cpu} and ${stand}. ${otherNodesText(spec.name, own, nodes, "They say")}`;
}

/** The table of gains and what its columns mean. */
export function gainsText({ tests, policy, reported, job: { spec } }: CompareResult, screen: Screen): string {
  // Where text is as near without replication, or there is none, what others gained is no more than a figure beside.
  const judged = (each: Comparison): each is Comparison & { readonly reported: number } =>
    each.reported !== undefined && each.bound > 0 && replicates(policy);
  const beside = tests.some((each) => each.reported !== undefined);
  const laid = tests.some((each) => each.layout);
  const columns = [
    { head: "" },
    right("one copy\n\ncycles"),
    right(`${wordsOf(policy).column}\ncycles`),
    right("\ngain\n%"),
    right("\nlow .. high\n%"),
    ...(laid ? [right("by layout\nlow .. high\n%")] : []),
    right("near\ntext\n%"),
    right("bound past\nL1    L2\n%     %"),
    ...(beside ? [right("re-\nported\n%"), { head: "\nreported\nis" }] : []),
  ];
  const rows = states.flatMap((cache) => [
    [screen.bold(cache), ...columns.slice(1).map(() => "")],
    ...tests
      .filter((each) => each.cache === cache)
      .map((each) => [
        labelOf(each, tests),
        grouped(each.singleCopy.cycles),
        grouped(each.perNode.cycles),
        paintedGain(each.gain.percent, screen),
        `${gainText(each.gain.low)} .. ${gainText(each.gain.high)}`,
        ...(laid ? [each.layout ? `${gainText(each.layout.low)} .. ${gainText(each.layout.high)}` : "-"] : []),
        percentText(each.near),
        `${(boundMatters(each) ? percentText(each.bound) : "-").padStart(5)} ${percentText(each.boundBeyondL2).padStart(5)}`,
        ...(beside
          ? [each.reported === undefined ? "-" : percentText(each.reported), judged(each) ? verdict(each, screen) : ""]
          : []),
      ]),
  ]);
  const named = (wanted: (each: Comparison) => boolean): string =>
    tests
      .filter(wanted)
      .map((each) => `${each.test.name} ${each.cache}`)
      .join(", ");
  const beyond = named((each) => judged(each) && outOfReach(each));
  const above = named((each) => judged(each) && !outOfReach(each) && each.reported > each.bound);
  const notCompared =
    reported?.file === undefined ? [] : reported.tests.filter((name) => !tests.some((each) => each.test.name === name));
  const say = (text: string): string => paragraph(text, screen);
  return (
    heading("Gain", "of replication, percent of the cycles without it; positive is faster", screen) +
    renderTable(columns, rows, screen) +
    "\n" +
    say(
      "All of it is modelled but what is reported. gain: this machine's model, all parameters at their values; low .. high: all of them at whichever end of their ranges gives least and most. " +
        "near text: what of it is the place of kernel text, rodata and tables alone; the rest is replication's own work and where its tables lie. " +
        "bound: the most near instead of far text could save here, were every fetch of text, load of rodata and page walker's read beyond L1 to go to memory, nothing of it hidden" +
        `${tests.some((each) => !boundMatters(each)) ? "; - where none does" : ""}; past L2: the same of what L2 does not answer, as while nothing empties the core's own caches. ` +
        (tests.some((each) => each.gain.low < -100) ? "xN: takes N times as long. " : "") +
        (beside && reported
          ? `reported: ${reported.source}.`
          : reported
            ? "Nothing reported stands beside: nobody ran these tests."
            : `Nobody's reported figures stand beside: the series' authors' are of e5-2690v3-2s alone (a machine's name decides); --reported FILE gives those of ${spec.name}.`),
    ) +
    (beside
      ? say(`reported is: the reported figure, against the bound and the range that this model has for ${spec.name}.`)
      : "") +
    alignmentText(tests, screen) +
    (beyond
      ? say(
          `Out of reach of any near copy, because reported above the bound past L2: ${beyond}. Warm, a core has in its L1 and L2 what these tests fetch, and a copy is as far from there as the original.`,
        )
      : "") +
    (above ? say(`Reported above the bound, so on this machine not by the latency of text alone: ${above}.`) : "") +
    (notCompared.length > 0 ? say(`Reported of what was not compared: ${notCompared.join(", ")}.`) : "") +
    warningsOf(tests).map(say).join("")
  );
}

/** What somebody must know before believing figures: sentences. */
export function warningsOf(tests: readonly Comparison[]): string[] {
  const otherLength = tests.filter(
    (each) => each.cache === "cold" && each.test.reported !== undefined && !ofTheirLength(each),
  );
  const unsettled = tests.filter((each) => !each.singleCopy.settled || !each.perNode.settled);
  return [
    ...(otherLength.length === 0
      ? []
      : [
          `* Of another length than the authors' runs, so that nothing of theirs stands beside them: ${otherLength.map(({ test, iterations, counted }) => `${test.name}, ${counted ? `${iterations} of ${test.iterations} calls` : "no call of which was found: its figures are totals"}`).join("; ")}.`,
        ]),
    ...(unsettled.length === 0
      ? []
      : [
          `Did not settle, taken as they were: ${unsettled.map(({ test, cache }) => `${test.name} ${cache}`).join(", ")}.`,
        ]),
  ];
}

/**
 * Some text came from beyond the CPU's L3, so that its place could matter; or what was reported is judged by the bound.
 */
function boundMatters({
  cache,
  singleCopy: {
    cycles,
    account: { text, rodata, walks },
  },
  bound,
  reported,
}: Comparison): boolean {
  const beyond = [text, rodata, walks].reduce((sum, of) => sum + of.otherL3 + of.local + of.remote, 0);
  return cache === "cold" || beyond > 0.0005 * cycles || (reported !== undefined && reported > bound);
}

/** What patch 06 gains by itself. */
export function alignmentText(tests: readonly Comparison[], screen: Screen): string {
  const measured = tests.filter((each) => each.alignment !== undefined);
  const shown = measured
    .filter((each) => Math.abs(each.alignment!) >= 0.05)
    .map((each) => `${each.test.name} ${each.cache} ${percentText(each.alignment!)}`);
  const left = tests
    .filter((each) => each.cache === "cold" && each.alignment === undefined)
    .map((each) => each.test.name);
  return paragraph(
    `Alignment of text and rodata to 2 MiB (patch 06) is in both kernels, and no part of these gains; by itself it gains one copy, in percent: ` +
      (measured.length === 0
        ? ""
        : shown.length === 0
          ? "0.0 in every test"
          : `${shown.join(", ")}${shown.length < measured.length ? ", 0.0 in all others" : ""}`) +
      `${left.length === 0 ? "" : `${measured.length > 0 ? "; " : ""}not measured in ${left.join(", ")} (--alignment)`}.`,
    screen,
  );
}

/** Warm, more than all that the core's own caches do not answer could save. */
const outOfReach = ({ cache, reported, boundBeyondL2 }: Comparison & { readonly reported: number }): boolean =>
  cache === "hot" && reported > boundBeyondL2;

function verdict(each: Comparison & { readonly reported: number }, screen: Screen): string {
  const { reported, bound, gain, layout } = each;
  if (layout && reported >= layout.low && reported <= layout.high) return screen.good("within layout");
  if (outOfReach(each)) return screen.warn("out of reach");
  if (reported > bound) return screen.warn("above bound");
  if (reported > gain.high) return screen.dim("above range");
  return reported < gain.low ? screen.dim("below range") : screen.good("in range");
}
