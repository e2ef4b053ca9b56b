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
    hanging("note", "modelled: memory accesses, address-space switches and interrupts of the CPU that patches; the kernel's own instructions and the time others take to answer are not counted", screen),
  ].join("");
}
