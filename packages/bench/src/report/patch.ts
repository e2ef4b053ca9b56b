/** The text of `kreplica patch`. */
import type { PatchCost } from "../measure/patch-cost.js";
import { hanging, renderTable, type Screen } from "./terminal.js";

/** @param what the site, in words @param hertz for the time of one change */
export function patchText(machine: string, what: string, costs: readonly PatchCost[], hertz: number, screen: Screen): string {
  const whole = (value: number): string => Math.round(value).toLocaleString("en-US");
  const plain = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(1));
  return [
    `${screen.bold(`One change of kernel text on ${machine}`)}\n`,
    hanging("site", what, screen),
    "\n",
    renderTable(
      [
        { head: "policy" }, { head: "CPUs", align: "right" }, { head: "copies", align: "right" }, { head: "frames", align: "right" }, { head: "CR3", align: "right" },
        { head: "syncs", align: "right" }, { head: "IPIs", align: "right" }, { head: "cycles", align: "right" }, { head: "range", align: "right" }, { head: "of it IPIs", align: "right" }, { head: "us", align: "right" },
      ],
      costs.map((cost) => [
        cost.policy, plain(cost.cpusOnline), plain(cost.copies), plain(cost.framesWritten), plain(cost.rootSwitches), plain(cost.synchronisations), plain(cost.interrupts),
        whole(cost.cycles.value), `${whole(cost.cycles.low)}-${whole(cost.cycles.high)}`, whole(cost.interruptCycles), ((cost.cycles.value / hertz) * 1e6).toFixed(1),
      ]),
      screen,
    ),
    "\n",
    ...wayOfCycles(costs, whole, plain, screen),
    hanging("note", "of the CPU that patches, for one change; text_poke_bp_batch and the sending of interrupts run further instructions, which are the same with one copy and are not counted", screen),
  ].join("");
}

/** What the cycles of each policy are made of, with the most CPUs online; below it, where each figure comes from. */
function wayOfCycles(costs: readonly PatchCost[], whole: (value: number) => string, plain: (value: number) => string, screen: Screen): string[] {
  const most = Math.max(...costs.map(({ cpusOnline }) => cpusOnline));
  const shown = costs.filter(({ cpusOnline }) => cpusOnline === most);
  const lines = shown[0]?.lines ?? [];
  const cell = ({ count, cycles }: PatchCost["lines"][number]): string[] => [plain(count), whole(cycles.value), `${whole(cycles.low)}-${whole(cycles.high)}`];
  return [
    `${screen.bold(`What the cycles are, with ${most} ${most === 1 ? "CPU" : "CPUs"}`)}\n`,
    renderTable(
      [{ head: "" }, { head: "policy" }, { head: "count", align: "right" }, { head: "cycles", align: "right" }, { head: "range", align: "right" }],
      lines.flatMap((line, nth) => shown.map((cost, at) => [at === 0 ? `${nth + 1}. ${line.what}` : "", cost.policy, ...cell(cost.lines[nth]!)])),
      screen,
    ),
    "\n",
    ...lines.map((line, nth) => hanging(`${nth + 1}.`, line.source, screen)),
    "\n",
  ];
}
