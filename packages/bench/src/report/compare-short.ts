/**
 * The comparison on one screen of 24 lines of 80: verdict, gains, and how to see more; what an option asked for stands
 * below. What somebody must know before believing a figure is never left out. Values in, text out.
 */
import { wordsOf } from "@kreplica/kernel";
import { type CompareResult, type Comparison, STATES } from "@kreplica/replay";
import { bar, LONGEST_BAR } from "./bars.js";
import { alignmentText, gainsText, gainText, labelOf, paintedGain, percentText, warningsOf } from "./compare-gains.js";
import { layoutsText } from "./compare-layouts.js";
import { busyText } from "./compare-busy.js";
import { loadText } from "./compare-load.js";
import { mixText } from "./compare-mix.js";
import { placesText } from "./compare-places.js";
import { pressureText } from "./compare-pressure.js";
import { recordedText } from "./compare-recorded.js";
import { nodesText, verdictText } from "./compare-verdict.js";
import { workText } from "./compare-work.js";
import { carriedOver, invariantsText, memoryText, whyText } from "./compare.js";
import {
  type Column,
  GAP,
  heading,
  note,
  paragraph,
  renderTable,
  right,
  type Screen,
  visibleLength,
  wrap,
} from "./terminal.js";

/** Which parts stand below the first screen. */
export interface Details {
  /** Gains in full, every node, where the cycles went. */
  readonly why: boolean;
  /** What the copies take, and the rules that were checked. */
  readonly memory: boolean;
  /** What replication itself does in the tests. */
  readonly work: boolean;
  /** What patch 06 gains by itself. */
  readonly alignment: boolean;
}

/** The first screen, and the parts that were asked for. */
export function compareShortText(result: CompareResult, details: Details, screen: Screen): string {
  const { policy, invariants, memory, memoryCost } = result;
  const wrong = invariants.violated.length > 0;
  const miscounted = memory.extraBytes !== memory.closedForm || memoryCost.unexplained !== 0;
  const title = `${screen.bold("kreplica compare")}: kernel text and rodata once, against ${wordsOf(policy).design}`;
  return [
    `${wrap(title, screen.columns).join("\n")}\n` + verdictText(result, screen) + carriedOver(result, screen),
    shortGains(result, screen) + moreText(details, screen),
    recordedText(result, screen),
    layoutsText(result, screen),
    mixText(result, screen),
    loadText(result, screen),
    pressureText(result, screen),
    busyText(result, screen),
    placesText(result, screen),
    // Of another link of the same source only the full table tells test by test.
    details.why || result.layouts
      ? gainsText(result, screen)
      : details.alignment
        ? alignmentText(result.tests, screen)
        : "",
    ...(details.why ? [nodesText(result, screen), whyText(result, screen)] : []),
    details.work ? workText(result, (each) => labelOf(each, result.tests), screen) : "",
    details.memory || miscounted ? memoryText(result, screen) : "",
    details.memory || wrong ? invariantsText(result, screen) : "",
  ]
    .filter((text) => text !== "")
    .join("\n");
}

/** How to see what is not there. */
function moreText(details: Details, screen: Screen): string {
  const left = (["why", "memory", "work"] as const).filter((each) => !details[each]);
  return note(`More: ${left.map((each) => `--${each}, `).join("")}or -v for all of it.`, screen);
}

/** Letters of a bar: fewer show nothing, more say no more. */
const LEAST_BAR = 4;
const MOST_BAR = 16;

/** A row a test, cold and hot beside each other. */
function shortGains(result: CompareResult, screen: Screen): string {
  const { tests, job, kernel, machine, loaded } = result;
  const { spec, where, pti, levels, pressure } = job;
  const node = spec.cpus.find(({ id }) => id === where.cpu)!.node;
  const layout = layoutOf(tests, screen);
  const sentences = [
    `All modelled${layout.reported ? " but what is reported" : ""}; low .. high: by the ranges of the model's parameters.`,
    ...(tests.some(({ gain }) => gain.low < -100) ? ["xN: takes N times as long."] : []),
    `${spec.name}, ${kernel}, ${levels} levels, KPTI ${pti ? "on" : "off"}, ${loaded || pressure ? "busy" : "idle"}; image on node ${where.masterNode}, data on ${where.dataNode}.`,
    ...(machine ? [] : ["Of this CPU's node alone."]),
  ];
  return (
    heading(
      "Gain",
      `on CPU ${where.cpu} of node ${node}, percent of the cycles of one copy; positive is faster`,
      screen,
    ) +
    gainsTable(tests, layout, screen) +
    paragraph(sentences.join(" "), screen) +
    warningsOf(tests)
      .map((text) => paragraph(text, screen))
      .join("")
  );
}

/** What stands beside gains and their ranges. */
interface Layout {
  /** Letters of a bar in each state, 0 for none. */
  readonly bars: readonly number[];
  readonly reported: boolean;
}

/** Reported figures and bars stand there as far as the screen has room for them: no row is cut in two for them. */
function layoutOf(tests: readonly Comparison[], screen: Screen): Layout {
  const bare = (reported: boolean): number =>
    Math.max(
      ...gainsTable(tests, { bars: [0, 0], reported }, { ...screen, columns: Infinity })
        .split("\n")
        .map(visibleLength),
    );
  const reported = tests.some((each) => each.reported !== undefined) && bare(true) <= screen.columns;
  const room = screen.columns - bare(reported);
  const both = Math.floor(room / 2) - GAP;
  const bars = both >= LEAST_BAR ? [both, both] : room - GAP >= LEAST_BAR ? [room - GAP, 0] : [0, 0];
  return { bars: bars.map((width) => Math.min(MOST_BAR, width)), reported };
}

function gainsTable(tests: readonly Comparison[], { bars, reported }: Layout, screen: Screen): string {
  const most = Math.min(LONGEST_BAR, Math.max(1, ...tests.map(({ gain }) => Math.abs(gain.percent))));
  const columns = STATES.flatMap((cache, at): Column[] => [
    right(`${cache}\ngain`),
    ...(bars[at]! > 0 ? [{ head: "" }] : []),
    right("\nlow .. high"),
    ...(reported ? [right("re-\nported")] : []),
  ]);
  const cells = ({ gain, reported: theirs }: Comparison, width: number): string[] => [
    paintedGain(gain.percent, screen),
    ...(width > 0 ? [bar(gain.percent, most, width, screen).padEnd(width)] : []),
    `${gainText(gain.low)} .. ${gainText(gain.high)}`,
    ...(reported ? [theirs === undefined ? "-" : percentText(theirs)] : []),
  ];
  const rows = tests
    .filter(({ cache }) => cache === "cold")
    .map((cold) => [
      labelOf(cold, tests),
      ...STATES.flatMap((cache, at) =>
        cells(
          tests.find((each) => each.cache === cache && each.file === cold.file)!,
          bars[at]!,
        ),
      ),
    ]);
  return renderTable([{ head: "" }, ...columns], rows, screen);
}
