/** A measurement as tables, and a measurement beside the model. Values in, text out. */
import type { MeasuredCell, Measurement, NotMeasured } from "@kreplica/machines";
import type { CellVerdict, CheckedCell, ProbeCheckDocument } from "./documents/probe.js";
import { heading, note, paragraph, renderTable, right, type Screen } from "./terminal.js";
import { bytesText, countText, hertzText } from "./units.js";

type Chain = Pick<MeasuredCell, "what" | "from" | "to" | "bytes" | "runLines" | "pages" | "loaders">;

const PAGES: readonly Chain["pages"][] = ["small", "mixed", "huge"];
const tenths = (value: number): string => value.toFixed(1);

/** Length of the chain, lines in a row, pages. */
const chainText = ({ what, bytes, runLines, pages }: Chain): string =>
  [bytesText(bytes), ...(what === "fetch" ? [`x${runLines}`] : []), pages].join(" ");

/** What cells of one table have in common. */
const groupOf = ({ what, from, to, loaders }: Chain): string =>
  `${what === "load" ? "Loads" : "Fetches"} from node ${from} in memory of node ${to}${loaders === 0 ? "" : `, ${countText(loaders, "other CPU")} reading`}`;

function grouped<T extends Chain>(cells: readonly T[]): [string, T[]][] {
  const groups = new Map<string, T[]>();
  const sorted = [...cells].sort(
    (a, b) => a.runLines - b.runLines || a.bytes - b.bytes || PAGES.indexOf(a.pages) - PAGES.indexOf(b.pages),
  );
  for (const cell of sorted) groups.set(groupOf(cell), [...(groups.get(groupOf(cell)) ?? []), cell]);
  return [...groups];
}

const range = ({ low, high }: MeasuredCell): string =>
  low === null || high === null ? "" : `${tenths(low)}..${tenths(high)}`;

function chainRows(cells: readonly MeasuredCell[]): string[][] {
  const chains = new Map<string, { hot?: MeasuredCell; cold?: MeasuredCell }>();
  for (const cell of cells) chains.set(chainText(cell), { ...chains.get(chainText(cell)), [cell.cache]: cell });
  return [...chains].map(([chain, { hot, cold }]) => {
    const both = [hot, cold].filter((cell) => cell !== undefined);
    const disturbed = both.reduce((sum, cell) => sum + (cell.disturbed ?? 0), 0);
    return [
      chain,
      ...[hot, cold].flatMap((cell) => (cell ? [tenths(cell.nanoseconds), range(cell)] : ["-", ""])),
      both.every((cell) => cell.disturbed === null)
        ? ""
        : `${disturbed}/${both.reduce((sum, cell) => sum + (cell.repeats ?? 0), 0)}`,
    ];
  });
}

/** Each reason once, with how many chains it stopped. */
export function notMeasuredText(skips: readonly NotMeasured[], screen: Screen): string {
  const reasons = new Map<string, NotMeasured[]>();
  for (const skip of skips) reasons.set(skip.reason, [...(reasons.get(skip.reason) ?? []), skip]);
  return [...reasons]
    .map(([reason, stopped]) =>
      note(
        `not measured: ${countText(stopped.length, "chain")}, first ${groupOf(stopped[0]!).toLowerCase()}, ${chainText(stopped[0]!)}: ${reason}`,
        screen,
      ),
    )
    .join("");
}

/** All of it, hot beside cold. @param remarks what was passed over, for people */
export function measurementText(measurement: Measurement, remarks: readonly string[], screen: Screen): string {
  const { processor, coreHertz, tscHertz, cells, notMeasured, seconds, source } = measurement;
  const clock = coreHertz === null ? "" : `, core at ${hertzText(coreHertz)}`;
  return (
    heading(
      "Latencies here, measured:",
      `${processor.name || "a processor without a name"}${processor.underHypervisor ? " in a virtual machine" : ""}, ${countText(measurement.nodes.length, "node")}${clock}, TSC ${hertzText(tscHertz)}; ${source}, ${seconds.toFixed(0)} s`,
      screen,
    ) +
    grouped(cells)
      .map(
        ([group, own]) =>
          `\n${screen.bold(group)}\n` +
          renderTable(
            [
              { head: "chain" },
              right("hot\nns"),
              right("\nquartiles"),
              right("cold\nns"),
              right("\nquartiles"),
              right("dis-\nturbed"),
            ],
            chainRows(own),
            screen,
          ),
      )
      .join("") +
    "\n" +
    paragraph(
      "Nanoseconds a line of 64 bytes, the middle of the repeats. xN: so many lines in a row before the next jump. Small and huge: pages of 4 KiB and 2 MiB. Disturbed: repeats in which others ran on the CPU, too.",
      screen,
    ) +
    notMeasuredText(notMeasured, screen) +
    remarks.map((remark) => note(remark, screen)).join("")
  );
}

const VERDICTS: Readonly<Record<CellVerdict, string>> = {
  within: "",
  "runs-ahead": "runs ahead",
  cheaper: "cheaper",
  dearer: "dearer",
  "not-modelled": "not modelled",
};

const checkRow = (cell: CheckedCell): string[] => [
  `${chainText(cell)} ${cell.cache}`,
  tenths(cell.measuredNs),
  cell.modelledNs === null ? "-" : tenths(cell.modelledNs),
  cell.ratio === null ? "" : cell.ratio.toFixed(2),
  cell.resolved || cell.verdict === "not-modelled" ? VERDICTS[cell.verdict] : `unresolved ${cell.apart!.toFixed(2)}`,
];

/** Cell by cell. */
export function probeCheckText(
  { measuredBy, machine, cells, verdicts, resolved }: ProbeCheckDocument,
  screen: Screen,
): string {
  const walked = cells.length - verdicts["not-modelled"];
  const reasons = [...new Set(cells.flatMap(({ reason }) => reason ?? []))];
  const otherOrder = cells.filter(({ sameOrder }) => sameOrder === false).length;
  return (
    heading("Measured against modelled:", `${measuredBy}; the model of ${machine}`, screen) +
    grouped(cells)
      .map(
        ([group, own]) =>
          `\n${screen.bold(group)}\n` +
          renderTable(
            [{ head: "chain" }, right("measured\nns"), right("modelled\nns"), right("ratio"), { head: "" }],
            own.map(checkRow),
            screen,
          ),
      )
      .join("") +
    "\n" +
    paragraph(
      `Of ${countText(walked, "cell")} walked on the model: within 1.25 times either way ${verdicts.within}, ahead of the model ${verdicts["runs-ahead"]}, cheaper ${verdicts.cheaper}, dearer ${verdicts.dearer}. Of ${countText(resolved.walked, "cell")} that the measurement resolves, ${resolved.within} are within.`,
      screen,
    ) +
    (resolved.walked < walked
      ? paragraph(
          "Unresolved: the measurement's own figures are so many times apart: quarters of the repeats, or pages of either size where TLBs hold them all.",
          screen,
        )
      : "") +
    (verdicts["runs-ahead"] > 0
      ? paragraph(
          "Runs ahead: the processor predicts jumps and fetches lines before they are needed, more of them than the model: a machine without costs.frontEnd waits for each line, and one with it never asks for more than its lines under way.",
          screen,
        )
      : "") +
    (verdicts.cheaper > 0
      ? paragraph(
          "Cheaper: loads that more than memory's latency helped (open rows, neighbours of a line), or text in L1I, whose no-ops retire faster than the kernel's instructions, whose rate a machine without costs.frontEnd.plainText has.",
          screen,
        )
      : "") +
    (verdicts.dearer > 0
      ? paragraph(
          "Dearer: what no chain of loads measured of L2, L3 and TLBs is assumed; a jump that was not foreseen costs its line's latency and costs.frontEnd.restartCycles, where the machine has them.",
          screen,
        )
      : "") +
    reasons.map((reason) => note(`not modelled: ${reason}`, screen)).join("") +
    (walked > 0 && cells.every(({ sameOrder }) => sameOrder === null)
      ? note("the measurement does not say its order: the model's chains have one of their own", screen)
      : "") +
    (otherOrder > 0 ? note(`${countText(otherOrder, "chain")} had another order than the model's`, screen) : "")
  );
}
