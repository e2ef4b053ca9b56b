/** What replication costs in memory, cause by cause. Values in, text out. */
import type { MemoryAccount, MemoryCost } from "@kreplica/kernel";
import { paragraph, renderTable, type Screen, wrap } from "./terminal.js";
import { grouped } from "./units.js";

export function memoryCostText({ extraBytes, closedForm }: MemoryAccount, cost: MemoryCost, screen: Screen): string {
  const rows: [number, string][] = [
    [cost.copies, "copies of text and rodata"],
    [cost.tables, "tables of each node's own"],
    ...(cost.inImage === 0
      ? []
      : [[-cost.inImage, "of them in the image's .brk, which was not free before"] as [number, string]]),
    [cost.tails, "tails of text and rodata, which patch 06 fills and one copy gives back"],
    [cost.splits, "tables that split leaves of the direct map over the copies"],
    ...(cost.spare === 0 ? [] : [[cost.spare, "set aside for tables and not needed"] as [number, string]]),
  ];
  const all = [
    ...rows,
    ...(cost.unexplained === 0 ? [] : [[cost.unexplained, screen.bad("in none of these")] as [number, string]]),
  ].map(([bytes, what]): [string, string] => [grouped(bytes), what]);
  const figures = Math.max(...all.map(([bytes]) => bytes.length));
  return (
    paragraph(`Free memory is ${grouped(cost.lessFree)} bytes less than after a boot with one copy:`, screen) +
    renderTable(
      [{ head: "", align: "right" }, { head: "" }],
      all.map(([bytes, what]) => [bytes, wrap(what, screen.columns - figures - 4).join("\n")]),
      screen,
    ) +
    paragraph(
      `Copies and tables are ${grouped(extraBytes)} bytes, counted in the tables. Closed form (I3): ${grouped(closedForm)} bytes, ${extraBytes === closedForm ? screen.good("equal") : screen.bad("not equal")}.`,
      screen,
    )
  );
}
