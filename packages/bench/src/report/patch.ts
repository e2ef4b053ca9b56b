/** The text of `kreplica patch`. */
import type { CpuId, NodeId } from "@kreplica/hw-x86/api";
import type { NodePlace, PatchCost } from "@kreplica/replay";
import { placeText } from "./node-places.js";
import { hanging, renderTable, type Screen, wrap } from "./terminal.js";

/** What is shown. */
export interface PatchReport {
  readonly machine: string;
  /** The site, in words. */
  readonly what: string;
  readonly costs: readonly PatchCost[];
  /** For the time of one change. */
  readonly hertz: number;
  /** CPU that patches, and its node. */
  readonly cpu: CpuId;
  readonly place: NodePlace;
  /** On which nodes the CPUs lie that are online, by their number. */
  readonly online: readonly { readonly cpus: number; readonly nodes: readonly NodeId[] }[];
}

export function patchText({ machine, what, costs, hertz, cpu, place, online }: PatchReport, screen: Screen): string {
  const whole = (value: number): string => Math.round(value).toLocaleString("en-US");
  const plain = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(1));
  return [
    `${screen.bold(`One change of kernel text on ${machine}`)}\n`,
    hanging("site", what, screen),
    hanging(
      "CPU",
      `cycles and us are of CPU ${cpu} alone, which patches, on node ${place.node}, ${placeText(place)}; they say nothing of a change made on another node.${onlineText(online)}`,
      screen,
      6,
    ),
    "\n",
    renderTable(
      [
        { head: "policy" },
        { head: "CPUs", align: "right" },
        { head: "copies", align: "right" },
        { head: "frames", align: "right" },
        { head: "CR3", align: "right" },
        { head: "syncs", align: "right" },
        { head: "IPIs", align: "right" },
        { head: "cycles", align: "right" },
        { head: "range", align: "right" },
        { head: "of it IPIs", align: "right" },
        { head: "us", align: "right" },
      ],
      costs.map((cost) => [
        cost.policy,
        plain(cost.cpusOnline),
        plain(cost.copies),
        plain(cost.framesWritten),
        plain(cost.rootSwitches),
        plain(cost.synchronisations),
        plain(cost.interrupts),
        whole(cost.cycles.value),
        `${whole(cost.cycles.low)}-${whole(cost.cycles.high)}`,
        whole(cost.interruptCycles),
        ((cost.cycles.value / hertz) * 1e6).toFixed(1),
      ]),
      screen,
    ),
    "\n",
    ...wayOfCycles(costs, whole, plain, screen),
    hanging(
      "note",
      "of the CPU that patches, for one change; text_poke_bp_batch and the sending of interrupts run further instructions, which are the same with one copy and are not counted",
      screen,
    ),
  ].join("");
}

/** Which CPUs are online; 1 is the one that patches. */
const onlineText = (online: PatchReport["online"]): string =>
  online
    .filter(({ cpus }) => cpus > 1)
    .map(
      ({ cpus, nodes }, nth, all) =>
        ` ${cpus} CPUs: ${nth === all.length - 1 ? "all" : `the first by number, of ${nodes.length === 1 ? "node" : "nodes"} ${nodes.join(", ")}`}.`,
    )
    .join("");

/** What the cycles of each policy are made of, with the most CPUs online; below it, where each figure comes from. */
function wayOfCycles(
  costs: readonly PatchCost[],
  whole: (value: number) => string,
  plain: (value: number) => string,
  screen: Screen,
): string[] {
  const most = Math.max(...costs.map(({ cpusOnline }) => cpusOnline));
  const shown = costs.filter(({ cpusOnline }) => cpusOnline === most);
  const lines = shown[0]?.lines ?? [];
  const cell = ({ count, cycles }: PatchCost["lines"][number]): string[] => [
    plain(count),
    whole(cycles.value),
    `${whole(cycles.low)}-${whole(cycles.high)}`,
  ];
  // Beside the labels at least one column of figures.
  const figures = Math.max(
    ...shown.flatMap((cost) => cost.lines.flatMap((line) => cell(line).map((text) => text.length))),
  );
  const room = screen.columns - Math.max(...shown.map(({ policy }) => policy.length)) - Math.max(figures, 6) - 9;
  return [
    `${screen.bold(`What the cycles are, with ${most} ${most === 1 ? "CPU" : "CPUs"}`)}\n`,
    renderTable(
      [
        { head: "" },
        { head: "policy" },
        { head: "count", align: "right" },
        { head: "cycles", align: "right" },
        { head: "range", align: "right" },
      ],
      lines.flatMap((line, nth) =>
        shown.map((cost, at) => [
          at === 0 ? wrap(`${nth + 1}. ${line.what}`, room).join("\n   ") : "",
          cost.policy,
          ...cell(cost.lines[nth]!),
        ]),
      ),
      screen,
    ),
    "\n",
    ...lines.map((line, nth) => hanging(`${nth + 1}.`, line.source, screen)),
    "\n",
  ];
}
