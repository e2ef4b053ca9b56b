/**
 * What copies gain where many CPUs run a test at once: a picture over how many, and the counts behind it as a table.
 */
import { coldHotPicture } from "./cold-hot.js";
import type { BusyPoint } from "./document.js";
import { type Figures, table } from "./html.js";

/** @param points cold and hot of each test and number of CPUs */
export function busySection(figures: Figures, points: readonly BusyPoint[]): string {
  const path = (nth: number): string => `comparison.load.atOnce.${nth}`;
  const rows = points.flatMap((cold, nth) => {
    if (cold.cache !== "cold") return [];
    const hot = points.findIndex(
      ({ cache, recording, cpusPerNode }) =>
        cache === "hot" && recording === cold.recording && cpusPerNode === cold.cpusPerNode,
    );
    return [
      {
        label: `${figures.text(`${path(nth)}.test`, "tspan")} × ${figures.label(`${path(nth)}.cpusPerNode`)}`,
        name: `${cold.test}, ${cold.cpusPerNode} CPUs of every node`,
        coldPercent: cold.gainPercent,
        hotPercent: points[hot]!.gainPercent,
      },
    ];
  });
  const side = (nth: number, which: "singleCopy" | "perNode"): string[] =>
    ["textFromOwnL3", "textFromOtherL3", "textFromNearMemory", "textFromFarMemory", "contendedData"].map((field) =>
      figures.number(`${path(nth)}.${which}.${field}`),
    );
  const heads = (of: string): string[] =>
    ["own L3", "other L3", "near memory", "far memory", "contended data"].map((head) => `${head}, ${of}`);
  return (
    "<p>The gain over the whole machine where so many CPUs of every node run the same test at once, each as a process of its own. Cold: all begin at once with every cache empty, so that who comes later finds lines in the caches of who came before.</p>" +
    besideThem(figures, points[0]!) +
    coldHotPicture(
      rows,
      "Gain in percent over how many CPUs of every node run the test, caches cold above caches hot; the table below has the same figures",
    ) +
    table(
      "Gain, percent, and lines that a CPU has from where in a run: kernel text beyond its L2, and kernel data that another CPU had changed or had to give up",
      ["test", "caches", "CPUs a node", "gain", "low", "high", ...heads("one copy"), ...heads("copies")],
      points.map(({ cache }, nth) => [
        figures.text(`${path(nth)}.test`),
        cache,
        figures.number(`${path(nth)}.cpusPerNode`),
        `<b>${figures.number(`${path(nth)}.gainPercent`, { digits: 1 })}</b>`,
        figures.number(`${path(nth)}.gainLow`, { digits: 1 }),
        figures.number(`${path(nth)}.gainHigh`, { digits: 1 }),
        ...side(nth, "singleCopy"),
        ...side(nth, "perNode"),
      ]),
    )
  );
}

function besideThem(figures: Figures, { neighbour, otherThreads }: BusyPoint): string {
  if (!neighbour)
    return otherThreads === "test"
      ? "<p>The second thread of each of their cores runs the test too, in the same L1, L2 and TLBs.</p>"
      : "";
  const name = figures.text("comparison.load.atOnce.0.neighbour.test");
  return otherThreads === "neighbour"
    ? `<p>The second thread of each of their cores runs ${name} at the same time, in the same L1, L2 and TLBs.</p>`
    : `<p>As many other cores of each node run ${name} at the same time.</p>`;
}
