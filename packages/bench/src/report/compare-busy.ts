/**
 * What a comparison says of many CPUs at once: the gain of each test over how many of every node run it, and the counts
 * behind it. Values in, text out.
 */
import { wordsOf } from "@kreplica/kernel";
import { type BusyPoint, type BusySide, type CompareResult, STATES } from "@kreplica/replay";
import { stemOf } from "@kreplica/trace";
import { bar, LONGEST_BAR } from "./bars.js";
import { busiestText } from "./compare-load.js";
import { gainText, paintedGain } from "./compare-gains.js";
import { type Column, heading, paragraph, renderTable, right, type Screen } from "./terminal.js";

/** Letters of a bar. */
const BAR = 12;
/** A mean of counts: whole where there are many. */
const meanText = (value: number): string => (value === 0 || value >= 9.95 ? value.toFixed(0) : value.toFixed(1));

/** The curves; nothing where none was asked for. */
export function busyText(result: CompareResult, screen: Screen): string {
  const { busy, job, policy } = result;
  if (!busy || busy.points.length === 0) return "";
  const { points } = busy;
  const files = [...new Set(points.map(({ file }) => file))];
  const most = Math.min(LONGEST_BAR, Math.max(1, ...points.map(({ gain }) => Math.abs(gain.percent))));
  const nameOf = (file: string): string => {
    const { test } = points.find((each) => each.file === file)!;
    const alike = points.some((each) => each.file !== file && each.test.name === test.name);
    return alike ? stemOf(file) : test.name;
  };
  const rowsOf = (cells: (cold: BusyPoint, hot: BusyPoint) => readonly string[], width: number): string[][] =>
    files.flatMap((file) => [
      [screen.bold(nameOf(file)), ...Array.from({ length: width - 1 }, () => "")],
      ...busy.cpusPerNode.map((count) => {
        const at = (cache: "cold" | "hot"): BusyPoint =>
          points.find((each) => each.file === file && each.cpusPerNode === count && each.cache === cache)!;
        return [`${count} x ${at("cold").nodes.length}`, ...cells(at("cold"), at("hot"))];
      }),
    ]);
  const curve = STATES.flatMap((cache): Column[] => [right(`${cache}\ngain`), { head: "" }, right("\nlow .. high")]);
  const gains = ({ gain }: BusyPoint): string[] => [
    paintedGain(gain.percent, screen),
    bar(gain.percent, most, BAR, screen).padEnd(BAR),
    `${gainText(gain.low)} .. ${gainText(gain.high)}`,
  ];
  const counts = (["one", wordsOf(policy).row] as const).flatMap((side): Column[] => [
    right(`L3\n${side}`),
    right(`L3'\n${side}`),
    right(`near\n${side}`),
    right(`far\n${side}`),
    right(`data\n${side}`),
    right(`link %\n${side}`),
  ]);
  const lines = ({ text, contended, utilisation }: BusySide): string[] => {
    return [
      ...[text.ownL3, text.otherL3, text.nearMemory, text.farMemory, contended].map(meanText),
      busiestText("link", busy.resources, utilisation),
    ];
  };
  const causes = STATES.map((cache) => {
    const rows = rowsOf((...both) => {
      const { single, perNode } = both[STATES.indexOf(cache)]!;
      return [...lines(single), ...lines(perNode)];
    }, counts.length + 1);
    return (
      heading(`Text by where it came from, ${cache}:`, "lines that a CPU fetched from beyond its L2, a run", screen) +
      renderTable([{ head: "" }, ...counts], rows, screen)
    );
  });
  /** What the neighbour did. */
  const besideTable = (name: string): string => {
    const sides = STATES.flatMap((cache) =>
      ["one", wordsOf(policy).row].flatMap((side): Column[] => [
        right(`${cache}\ncycles\n${side}`),
        right(`\nlines\n${side}`),
      ]),
    );
    const told = ({ single, perNode }: BusyPoint): string[] =>
      [single, perNode].flatMap(({ neighbour }) => [meanText(neighbour!.cycles), meanText(neighbour!.memoryLines)]);
    return (
      heading(`Beside it, ${name}:`, "cycles of one run of it, and lines that it had from memory", screen) +
      renderTable(
        [{ head: "" }, ...sides],
        rowsOf((...both) => both.flatMap(told), sides.length + 1),
        screen,
      )
    );
  };
  const other = points[0]!.neighbour;
  const threads = busy.beside.threads === true;
  const besides = other && besideTable(other.test.name);
  const parts = points.some(({ share, neighbour }) => share !== 1 || (neighbour?.share ?? 1) !== 1);
  const loose = points.filter(({ settled }) => !settled).length;
  return (
    heading(
      "All CPUs at once:",
      `gain over the whole machine where k CPUs of every node run the test, of ${job.spec.name}`,
      screen,
    ) +
    renderTable(
      [{ head: "k x nodes" }, ...curve],
      rowsOf((cold, hot) => [...gains(cold), ...gains(hot)], curve.length + 1),
      screen,
    ) +
    "\n" +
    causes.join("\n") +
    "\n" +
    (besides === undefined ? "" : `${besides}\n`) +
    paragraph(
      (threads
        ? `On the other thread of each of these cores ${other ? `${other.test.name} runs` : "the same test runs, and counts too"}: it has its place in L1, L2 and TLBs; that the two take turns at what executes is not in the cycles. `
        : other
          ? `Beside each of these CPUs another core of its node runs ${other.test.name}. `
          : "") +
        (other ? "Hot is the mean of the runs while it runs once more after its first. " : "") +
        "Each CPU runs it as a process of its own with data on its own node, interleaved by cycles; cold: all begin at once with every cache empty, so that who comes later finds lines in the caches of who came before. " +
        "L3: its own, or a core behind it; L3': another L3 or a core behind that; near, far: memory of the CPU's node, of others; data: lines of kernel data that another CPU had changed, or had to give up; link: share of the busiest link's peak that all of them use, which sets its latency. " +
        "The recording's other CPUs are left out: here all do the test's work." +
        (parts ? " Of tests of more than a million references an eighth is run." : "") +
        (loose === 0
          ? ""
          : ` Of ${loose} of the ${points.length} figures some CPU's run had not settled: others' stores move it.`),
      screen,
    )
  );
}
