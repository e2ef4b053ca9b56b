/** `kreplica modules` as text: one line a module, the largest first, and what all cost together. */
import { totalOf, type ModuleCost, type ModuleCosts } from "../measure/load-modules.js";
import { renderTable, type Column, type Screen } from "./terminal.js";
import { bytesText } from "./units.js";

/** A run under one design. */
export interface ModuleRun {
  readonly design: string;
  /** Whether replication writes the boot table too. */
  readonly keepsBootTable: boolean;
  readonly costs: ModuleCosts;
}

const right = (head: string): Column => ({ head, align: "right" });
const count = (value: number): string => value.toLocaleString("en");
const time = (milliseconds: number): string => (milliseconds >= 10_000 ? `${(milliseconds / 1000).toFixed(1)} s` : `${milliseconds.toFixed(1)} ms`);

/** Largest text and rodata first. */
export const bySize = (costs: readonly ModuleCost[]): ModuleCost[] =>
  [...costs].sort((a, b) => b.textBytes + b.rodataBytes - a.textBytes - a.rodataBytes || (a.name < b.name ? -1 : 1));

/**
 * @param runs the design asked for, then those beside it
 * @param top modules to list; the totals are of all
 */
export function modulesText(runs: readonly ModuleRun[], top: number, heading: string, screen: Screen): string {
  const [main, ...others] = runs;
  if (!main) return "";
  const listed = bySize(main.costs.modules).slice(0, top);
  const beside = others.map(({ costs }) => new Map(costs.modules.map((cost) => [cost.name, cost])));
  let text = `${screen.bold(heading)}\n\n`;
  const nodes = listed[0]?.bytesByNode.map(({ node }) => node) ?? [];
  // More nodes than fit are told by their sum.
  const perNode = nodes.length <= 4;
  text += renderTable(
    [
      { head: "module" }, right("text"), right("rodata"), right("copies"), ...(perNode ? nodes.map((node) => right(`node ${node}`)) : [right("all nodes")]),
      right("stores"), ...others.map(({ design }) => right(design)), right("flushes"), right("time"),
    ],
    listed.map((cost) => [
      cost.name, bytesText(cost.textBytes), bytesText(cost.rodataBytes), `${cost.copies}`,
      ...(perNode ? cost.bytesByNode.map(({ bytes }) => bytesText(bytes)) : [bytesText(cost.bytesByNode.reduce((sum, { bytes }) => sum + bytes, 0))]),
      count(cost.replication.stores), ...beside.map((other) => count(other.get(cost.name)?.replication.stores ?? 0)), count(cost.replication.flushes), time(cost.milliseconds),
    ]),
    screen,
  );
  if (listed.length < main.costs.modules.length) text += screen.dim(`  and ${count(main.costs.modules.length - listed.length)} smaller ones\n`);
  text += `\n${screen.bold("all together")}\n`;
  text += renderTable(
    [{ head: "" }, ...runs.map(({ design }) => right(design))],
    rows(runs).map(([label, ...cells]) => [label!, ...cells]),
    screen,
  );
  text += screen.dim("  Stores and flushes of a module are those that giving copies took. Counts are the model's;\n  time is measured on this computer and includes the model's own work.\n");
  if (others.length > 0) text += screen.dim("  rfc-v1 does not keep the boot table in step (D4), which saves it a store a page wherever the\n  base copy is not the master's; on the way it leaves a hole for every page it replaces.\n");
  for (const { design, costs } of runs) {
    if (costs.refused.length === 0) continue;
    text += `\n${screen.warn(`${costs.refused.length} refused${runs.length > 1 ? ` under ${design}` : ""}`)}\n`;
    for (const { reason } of costs.refused.slice(0, 20)) text += `  ${reason}\n`;
    if (costs.refused.length > 20) text += `  and ${costs.refused.length - 20} more\n`;
  }
  return text;
}

function rows(runs: readonly ModuleRun[]): string[][] {
  const totals = runs.map(({ costs, keepsBootTable }) => ({ keepsBootTable, ...totalOf(costs.modules), count: costs.modules.length, elapsed: costs.milliseconds }));
  const row = (label: string, of: (total: (typeof totals)[number]) => string): string[] => [label, ...totals.map(of)];
  const nodes = totals[0]?.bytesByNode.map(({ node }) => node) ?? [];
  return [
    row("modules", (total) => count(total.count)),
    row("text", (total) => bytesText(total.textBytes)),
    row("rodata", (total) => bytesText(total.rodataBytes)),
    ...nodes.map((node, i) => row(`on node ${node}`, (total) => bytesText(total.bytesByNode[i]?.bytes ?? 0))),
    row("relocations", (total) => count(total.relocations)),
    row("patch sites listed", (total) => count(total.sites)),
    row("patch sites written", (total) => count(total.patched)),
    row("stores to give copies", (total) => count(total.replication.stores)),
    row("  for the boot table", (total) => count(total.keepsBootTable ? total.bootTableStores : 0)),
    row("flushes to give copies", (total) => count(total.replication.flushes)),
    row("frame requests for copies", (total) => count(total.replication.requests)),
    row("all table stores of a load", (total) => count(total.stores)),
    row("all flushes of a load", (total) => count(total.flushes)),
    row("time", (total) => time(total.elapsed)),
  ];
}
