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
/** Cycles of the modelled machine as its time. */
const microseconds = (cycles: number, hertz: number): number => (cycles / hertz) * 1e6;
const modelled = (cycles: number, hertz: number): string => {
  const us = microseconds(cycles, hertz);
  return us >= 10_000 ? `${(us / 1000).toFixed(1)} ms` : us >= 100 ? `${us.toFixed(0)} us` : `${us.toFixed(1)} us`;
};

/** Largest text and rodata first. */
export const bySize = (costs: readonly ModuleCost[]): ModuleCost[] =>
  [...costs].sort((a, b) => b.textBytes + b.rodataBytes - a.textBytes - a.rodataBytes || (a.name < b.name ? -1 : 1));

/**
 * @param runs the design asked for, then those beside it
 * @param top modules to list; the totals are of all
 * @param hertz core clock of the modelled machine
 */
export function modulesText(runs: readonly ModuleRun[], top: number, heading: string, hertz: number, screen: Screen): string {
  const [main, ...others] = runs;
  if (!main) return "";
  const listed = bySize(main.costs.modules).slice(0, top);
  const beside = others.map(({ costs }) => new Map(costs.modules.map((cost) => [cost.name, cost])));
  let text = `${screen.bold(heading)}\n\n`;
  const nodes = listed[0]?.bytesByNode.map(({ node }) => node) ?? [];
  // More nodes than fit are told by their sum.
  const perNode = nodes.length <= 4;
  const pair = (of: (cost: ModuleCost) => string, cost: ModuleCost): string => [of(cost), ...beside.map((other) => { const same = other.get(cost.name); return same ? of(same) : "-"; })].join(" / ");
  text += renderTable(
    [
      { head: "module" }, right("text"), right("rodata"), right("copies"), ...(perNode ? nodes.map((node) => right(`node ${node}`)) : [right("all nodes")]),
      right("stores"), right("flushes"), right("modelled"), ...(others.length === 0 ? [right("CPU time")] : []),
    ],
    listed.map((cost) => [
      cost.name, bytesText(cost.textBytes), bytesText(cost.rodataBytes), `${cost.copies}`,
      ...(perNode ? cost.bytesByNode.map(({ bytes }) => bytesText(bytes)) : [bytesText(cost.bytesByNode.reduce((sum, { bytes }) => sum + bytes, 0))]),
      pair(({ replication }) => count(replication.stores), cost), pair(({ replication }) => count(replication.flushes), cost),
      pair(({ modelled: { copies } }) => modelled(copies.total.value, hertz).replace(/ us$/, others.length > 0 ? "" : " us"), cost), ...(others.length === 0 ? [time(cost.milliseconds)] : []),
    ]),
    screen,
  );
  if (listed.length < main.costs.modules.length) text += screen.dim(`  and ${count(main.costs.modules.length - listed.length)} smaller ones\n`);
  text += `\n${screen.bold("all together")}\n`;
  text += renderTable(
    [{ head: "" }, ...runs.map(({ design }) => right(design))],
    rows(runs, hertz).map(([label, ...cells]) => [label!, ...cells]),
    screen,
  );
  const unit = others.length > 0 ? ", in microseconds" : "";
  text += screen.dim(`  Stores, flushes and modelled time of a module are those that giving copies took${unit}.\n  Counts are the model's; modelled time is its machine's: stores, copied lines and interrupts, not\n  the instructions around them. CPU time is this computer's, the model's own work included.\n`);
  if (others.length > 0) text += screen.dim("  Pairs are ours / rfc-v1. rfc-v1 does not keep the boot table in step (D4); ours does at no\n  store, its boot table leads to the master's tables. On its way rfc-v1 leaves a hole for every page\n  it replaces.\n");
  for (const { design, costs } of runs) {
    if (costs.refused.length === 0) continue;
    text += `\n${screen.warn(`${costs.refused.length} refused${runs.length > 1 ? ` under ${design}` : ""}`)}\n`;
    for (const { reason } of costs.refused.slice(0, 20)) text += `  ${reason}\n`;
    if (costs.refused.length > 20) text += `  and ${costs.refused.length - 20} more\n`;
  }
  return text;
}

function rows(runs: readonly ModuleRun[], hertz: number): string[][] {
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
    row("modelled time to give copies", (total) => modelled(total.modelled.copies.total.value, hertz)),
    row("  from", (total) => modelled(total.modelled.copies.total.low, hertz)),
    row("  to", (total) => modelled(total.modelled.copies.total.high, hertz)),
    row("  of it table stores", (total) => modelled(total.modelled.copies.stores, hertz)),
    row("  of it filling them", (total) => modelled(total.modelled.copies.copying, hertz)),
    row("  of it interrupts sent", (total) => modelled(total.modelled.copies.interrupts, hertz)),
    row("  on all other CPUs", (total) => modelled(total.modelled.copies.elsewhere, hertz)),
    row("all table stores of a load", (total) => count(total.stores)),
    row("all flushes of a load", (total) => count(total.flushes)),
    row("modelled time of all that", (total) => modelled(total.modelled.all.total.value, hertz)),
    row("relocations a second", (total) => count(Math.round(total.relocations / Math.max(total.elapsed, 1) * 1000))),
    row("CPU time, measured", (total) => time(total.elapsed)),
  ];
}
