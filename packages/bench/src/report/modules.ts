/** `kreplica modules` as text: one line a module, the largest first, and what all cost together. */
import { InputError } from "@kreplica/inputs";
import type { UnusableModule } from "@kreplica/kernel-files";
import { type ModuleCost, type ModuleCosts, OF_ANOTHER_KERNEL, totalOf } from "@kreplica/replay";
import { hanging, note, renderTable, right, type Screen, wrap } from "./terminal.js";
import { bytesText } from "./units.js";

/** A run under one design. */
export interface ModuleRun {
  readonly design: string;
  /** Whether replication writes the boot table too. */
  readonly keepsBootTable: boolean;
  readonly costs: ModuleCosts;
}

const count = (value: number): string => value.toLocaleString("en");
const time = (milliseconds: number): string =>
  milliseconds >= 10_000 ? `${(milliseconds / 1000).toFixed(1)} s` : `${milliseconds.toFixed(1)} ms`;
/** Cycles of the modelled machine as its time. */
const microseconds = (cycles: number, hertz: number): number => (cycles / hertz) * 1e6;
const modelled = (cycles: number, hertz: number): string => {
  const us = microseconds(cycles, hertz);
  return us >= 10_000 ? `${(us / 1000).toFixed(1)} ms` : us >= 100 ? `${us.toFixed(0)} us` : `${us.toFixed(1)} us`;
};

/** Largest text and rodata first. */
export const bySize = (costs: readonly ModuleCost[]): ModuleCost[] =>
  [...costs].sort((a, b) => b.textBytes + b.rodataBytes - a.textBytes - a.rodataBytes || (a.name < b.name ? -1 : 1));

/** What is shown. */
export interface ModulesReport {
  readonly heading: string;
  /** What no kernel was asked about. */
  readonly unusable: readonly UnusableModule[];
  /** The design asked for, then those beside it; at least one. */
  readonly runs: readonly ModuleRun[];
  /** Modules to list; the totals are of all. */
  readonly top: number;
  /** Core clock of the modelled machine. */
  readonly hertz: number;
  /** Which CPU the modelled time is of, sentences. */
  readonly standing: string;
}

/** What was refused stands first, and alone where nothing was loaded. */
export function modulesText({ heading, unusable, runs, top, hertz, standing }: ModulesReport, screen: Screen): string {
  const [main, ...others] = runs;
  const text = `${wrap(heading, screen.columns).map(screen.bold).join("\n")}\n\n${refusedText(unusable, runs, screen)}`;
  return main === undefined || runs.every(({ costs }) => costs.modules.length === 0)
    ? text.replace(/\n\n$/, "\n")
    : text + costsText(main, others, { top, hertz, standing }, screen);
}

function costsText(
  main: ModuleRun,
  others: readonly ModuleRun[],
  { top, hertz, standing }: Pick<ModulesReport, "top" | "hertz" | "standing">,
  screen: Screen,
): string {
  const runs = [main, ...others];
  const listed = bySize(main.costs.modules).slice(0, top);
  const beside = others.map(({ costs }) => new Map(costs.modules.map((cost) => [cost.name, cost])));
  const nodes = listed[0]?.bytesByNode.map(({ node }) => node) ?? [];
  // More nodes than fit are told by their sum.
  const perNode = nodes.length <= 4;
  const pair = (of: (cost: ModuleCost) => string, cost: ModuleCost): string =>
    [
      of(cost),
      ...beside.map((other) => {
        const same = other.get(cost.name);
        return same ? of(same) : "-";
      }),
    ].join(" / ");
  let text = renderTable(
    [
      { head: "module" },
      right("text"),
      right("rodata"),
      right("copies"),
      ...(perNode ? nodes.map((node) => right(`node ${node}`)) : [right("all nodes")]),
      right("stores"),
      right("flushes"),
      right("modelled"),
      ...(others.length === 0 ? [right("CPU time")] : []),
    ],
    listed.map((cost) => [
      cost.name,
      bytesText(cost.textBytes),
      bytesText(cost.rodataBytes),
      `${cost.copies}`,
      ...(perNode
        ? cost.bytesByNode.map(({ bytes }) => bytesText(bytes))
        : [bytesText(cost.bytesByNode.reduce((sum, { bytes }) => sum + bytes, 0))]),
      pair(({ replication }) => count(replication.stores), cost),
      pair(({ replication }) => count(replication.flushes), cost),
      pair(
        ({ modelled: { copies } }) =>
          modelled(copies.total.value, hertz).replace(/ us$/, others.length > 0 ? "" : " us"),
        cost,
      ),
      ...(others.length === 0 ? [time(cost.milliseconds)] : []),
    ]),
    screen,
  );
  if (listed.length < main.costs.modules.length)
    text += screen.dim(`  and ${count(main.costs.modules.length - listed.length)} smaller ones\n`);
  text += `\n${screen.bold("all together")}\n`;
  text += renderTable(
    [{ head: "" }, ...runs.map(({ design }) => right(design))],
    rows(runs, hertz).map(([label, ...cells]) => [label!, ...cells]),
    screen,
  );
  const unit = others.length > 0 ? ", in microseconds" : "";
  text += note(
    `Stores, flushes and modelled time of a module are those that giving copies took${unit}. Counts are the model's; modelled time is its machine's: stores, copied lines and interrupts, not the instructions around them. CPU time is this computer's, the model's own work included.`,
    screen,
  );
  if (others.length > 0)
    text += note(
      "Pairs are ours / rfc-v1. rfc-v1 does not keep the boot table in step (D4); ours does at no store, its boot table leads to the master's tables. On its way rfc-v1 leaves a hole for every page it replaces.",
      screen,
    );
  return text + note(standing, screen);
}

/** Modules of one reason stand together: a kernel of another build refuses all for the same. */
function refusedText(unusable: readonly UnusableModule[], runs: readonly ModuleRun[], screen: Screen): string {
  const blocks =
    unusable.length === 0
      ? []
      : [
          block(
            `${unusable.length} not loaded for want of a file that can be used`,
            unusable.map(({ fault }) => new InputError(fault).message),
            screen,
          ),
        ];
  const alike = runs.every(({ costs }) => JSON.stringify(costs.refused) === JSON.stringify(runs[0]!.costs.refused));
  for (const {
    design,
    costs: { refused },
  } of alike ? runs.slice(0, 1) : runs) {
    if (refused.length === 0) continue;
    const byReason = new Map<string, string[]>();
    for (const { name, reason } of refused) {
      const why = reason.startsWith(`${name}: `) ? reason.slice(name.length + 2) : reason;
      byReason.set(why, [...(byReason.get(why) ?? []), name]);
    }
    const lines = [...byReason].map(([why, names]) => `${names.join(", ")}: ${why}`);
    if (refused.some(({ code }) => OF_ANOTHER_KERNEL.has(code)))
      lines.push("Take kernel and modules from one package.");
    blocks.push(block(`${refused.length} refused by the kernel${!alike ? ` under ${design}` : ""}`, lines, screen));
  }
  return blocks.join("");
}

const block = (title: string, lines: readonly string[], screen: Screen): string =>
  `${screen.warn(title)}\n${lines.map((line) => hanging("", line, screen, 0)).join("")}\n`;

function rows(runs: readonly ModuleRun[], hertz: number): string[][] {
  const totals = runs.map(({ costs, keepsBootTable }) => ({
    keepsBootTable,
    ...totalOf(costs.modules),
    count: costs.modules.length,
    elapsed: costs.milliseconds,
  }));
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
    row("relocations a second", (total) => count(Math.round((total.relocations / Math.max(total.elapsed, 1)) * 1000))),
    row("CPU time, measured", (total) => time(total.elapsed)),
  ];
}
