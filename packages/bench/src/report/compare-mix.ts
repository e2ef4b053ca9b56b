/**
 * A mix of system calls, and what so many processes, forks and migrations cost, as text. Values in, text out; nothing
 * where nobody asked.
 */
import type { CompareResult, CpuTime, MixResult, RateCosts } from "@kreplica/replay";
import { labelOf, percentText } from "./compare-gains.js";
import { heading, note, renderTable, right, type Screen } from "./terminal.js";
import { bytesText, countText, grouped } from "./units.js";

/** Percent of a whole: three figures of what is small. */
const shareText = (percent: number): string =>
  percent === 0 ? "0" : Math.abs(percent) < 0.001 ? "below 0.001" : `${Number(percent.toPrecision(3))}`;
/** Names of uncovered calls that are told; the rest by their number. */
const MOST_NAMED = 8;

/** Both parts. */
export function mixText(result: CompareResult, screen: Screen): string {
  const parts = [
    ...(result.mix ? [weighted(result.mix, result, screen)] : []),
    ...(result.rates ? [costs(result.rates, screen)] : []),
  ];
  return parts.join("\n");
}

function weighted(mix: MixResult, { tests, machine, job: { where } }: CompareResult, screen: Screen): string {
  const { gain, nodes, covered, total, coldShare, uncovered, coveredTime } = mix;
  const title = heading("Mix:", `${mix.file}, ${Math.round(100 * coldShare)} % of its calls cold`, screen);
  const table =
    mix.tests.length === 0
      ? ""
      : renderTable(
          [{ head: "" }, right("iterations"), right("calls"), right("cycles\n%"), right("gain\n%")],
          mix.tests.map((each) => [
            labelOf(
              tests.find(({ file }) => file === each.file)!,
              tests,
            ),
            grouped(each.iterations),
            grouped(each.calls),
            percentText(100 * each.weight),
            percentText(each.gain),
          ]),
          screen,
        ) + "\n";
  const range = gain ? `${percentText(gain.percent)} % (${percentText(gain.low)} .. ${percentText(gain.high)})` : "";
  const byNode = nodes.map(({ node, gain: percent }) => `node ${node} ${percentText(percent)}`);
  const sentences = [
    gain
      ? machine
        ? `The mix gains ${range} over the whole machine${nodes.length > 1 ? `: ${byNode.slice(0, 16).join(", ")}${byNode.length > 16 ? ", ..." : ""}` : ""}.`
        : `The mix gains ${range} on CPU ${where.cpu}.`
      : "No test that was compared is of any of its calls: nothing is known of this mix.",
    `That is of the ${grouped(covered)} of ${grouped(total)} calls (${percentText((100 * covered) / total)} %) that recordings are of${coveredTime === undefined ? "" : `, ${percentText(100 * coveredTime)} % of the file's time`}.`,
    ...(uncovered.length === 0
      ? []
      : [
          `Of none that was compared: ${uncovered
            .slice(0, MOST_NAMED)
            .map(({ name, calls }) => `${name} ${grouped(calls)}`)
            .join(
              ", ",
            )}${uncovered.length > MOST_NAMED ? ` and ${countText(uncovered.length - MOST_NAMED, "other")}` : ""}.`,
        ]),
    "cycles: part of the covered calls' cycles with one copy; it and gain on the CPU looked at. The range is the recordings', each at its own corner.",
  ];
  return title + table + note(sentences.join(" "), screen);
}

function costs({ processes, forks, migrations }: RateCosts, screen: Screen): string {
  const time = ({ cycles, cpuPercent, machinePercent }: CpuTime): string =>
    `${grouped(cycles.cold)} cycles longer cold, ${grouped(cycles.hot)} hot: ${shareText(cpuPercent.cold)} and ${shareText(cpuPercent.hot)} % of one CPU, ${shareText(machinePercent.cold)} and ${shareText(machinePercent.hot)} % of the machine`;
  const sentences = [
    ...(processes
      ? [
          `${grouped(processes.count)} processes: ${bytesText(processes.bytes)} of page tables more (${shareText(processes.percent)} % of memory), ${bytesText(processes.everywhereBytes)} (${shareText(processes.everywherePercent)} %) once each has run on every node.`,
        ]
      : []),
    ...(forks
      ? [
          `${grouped(forks.perSecond)} forks a second: ${forks.time ? `each takes ${time(forks.time)}; a mix's gain has this in it` : "nothing more that a compared test shows: with no fork among them nothing is known"}.`,
        ]
      : []),
    ...(migrations
      ? [
          `${grouped(migrations.perSecond)} migrations a second, each taken for the first to its node: ${grouped(migrations.stores)} entries stored each, ${bytesText(migrations.bytesPerSecond)} a second${migrations.time ? `; each takes ${time(migrations.time)}` : "; cycles are not known, for no recording was run behind one"}.`,
        ]
      : []),
  ];
  return (
    heading("Costs:", "of so many, beyond the same with one copy", screen) +
    sentences.map((each) => note(each, screen)).join("")
  );
}
