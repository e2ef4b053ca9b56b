/** What the policies cost, as a table. Values in, text out. */
import type { Kernel } from "@kreplica/kernel";
import type { PolicyCost } from "@kreplica/replay";
import type { ListedParameter, ListedPolicy } from "./documents/policies.js";
import { hanging, heading, paragraph, renderTable, right, type Screen } from "./terminal.js";
import { bytesText, countText } from "./units.js";

const some = (value: number): string => (value === 0 ? "-" : String(value));
const bytes = (value: number): string => (value === 0 ? "-" : bytesText(value));

/** A line each, and what may follow a name. */
export const policyListText = (
  policies: readonly ListedPolicy[],
  parameters: readonly ListedParameter[],
  screen: Screen,
): string =>
  policies.map(({ name, summary }) => hanging(name, summary, screen, 14)).join("") +
  "\nWith a parameter:\n" +
  parameters.map(({ name, form, about }) => hanging(`${name}:${form}`, about, screen, 20)).join("");

export function policyCostText(
  { machine, layout: { levels, pti } }: Kernel,
  costs: readonly PolicyCost[],
  screen: Screen,
): string {
  const rows = costs.map(
    ({ policy, holders, bootBytes, closedForm, memory, processBytes, everywhereBytes, stores }) => [
      policy,
      String(holders.length),
      bytes(memory.lessFree) + (bootBytes === closedForm && memory.unexplained === 0 ? "" : screen.bad("!")),
      bytes(processBytes),
      bytes(everywhereBytes),
      some(stores.fork),
      some(stores.exec),
      some(stores.exit),
      some(stores.slot),
      some(stores.slotGone),
      some(stores.switches),
    ],
  );
  return (
    heading(
      "What a policy adds to a single copy:",
      `${machine.name}, ${countText(machine.nodes.length, "node")}, ${levels} levels, KPTI ${pti ? "on" : "off"}`,
      screen,
    ) +
    renderTable(
      [
        { head: "" },
        right("holders"),
        right("after\nboot"),
        right("process\non one node"),
        right("... on\nevery node"),
        right("stores:\nfork"),
        right("\nexec"),
        right("\nexit"),
        right("new\nslot"),
        right("slot\ngone"),
        right("first\nswitches"),
      ],
      rows,
      screen,
    ) +
    "\n" +
    paragraph(
      `Counted on booted kernels. After boot: what is free less, tails of text and rodata that patch 06 keeps included (${bytes(Math.max(...costs.map((each) => each.memory.tails)))}); ` +
        `copies and tables in it equal the closed form (I3)${costs.every((each) => each.bootBytes === each.closedForm && each.memory.unexplained === 0) ? "" : " but where marked !"}. ` +
        "Bytes of a process: its tables. Stores: entries of 8 bytes, clearing new tables aside; of a process with two top-level slots; first switches: of one process to every node.",
      screen,
    )
  );
}
