/** Recordings as text: what is in one, and whether it is whole. */
import type { InventoryCount, TraceInventory } from "@kreplica/trace";
import type { CheckedRecording } from "./documents/trace.js";
import { type Column, heading, note, renderTable, type Screen } from "./terminal.js";
import { countText, grouped, groupedCount } from "./units.js";

const FIGURES: readonly Column[] = ["instructions", "loads", "stores"].map((head) => ({ head, align: "right" }));
const figures = ({ instructions, loads, stores }: InventoryCount): string[] =>
  [instructions, loads, stores].map(grouped);

/**
 * What is in one recording.
 *
 * @param nameOf a test's number
 * @param top functions to list
 */
export function traceText(
  file: string,
  inventory: TraceInventory,
  nameOf: (test: number) => string,
  top: number,
  screen: Screen,
): string {
  const { windows, cpus, regions, functions } = inventory;
  const tests = windows.map((each) => [
    `${nameOf(each.test) || "test"} (${each.test})${each.ended ? "" : ", no end"}`,
    `${each.cpu}`,
    ...figures(each),
  ]);
  const parts = [
    heading(
      file,
      [
        groupedCount(inventory.records, "record"),
        groupedCount(inventory.instructions, "instruction"),
        groupedCount(inventory.loads, "load"),
        groupedCount(inventory.stores, "store"),
      ].join(", "),
      screen,
      "  ",
    ),
    windows.length === 0
      ? note("No test: no start marker was recorded.", screen)
      : renderTable([{ head: "test" }, { head: "CPU", align: "right" }, ...FIGURES], tests, screen),
    renderTable(
      [{ head: "CPU" }, { head: "mode" }, ...FIGURES],
      cpus.map((each) => [`${each.cpu}`, each.mode, ...figures(each)]),
      screen,
    ),
    renderTable(
      [{ head: "region" }, ...FIGURES, { head: "lines", align: "right" }],
      regions.map((each) => [each.region, ...figures(each), grouped(each.lines)]),
      screen,
    ),
    functions.length === 0
      ? note("Functions: of a kernel that is not known; name its System.map with --system-map.", screen)
      : renderTable(
          [{ head: "function" }, FIGURES[0]!, { head: "calls", align: "right" }],
          functions.slice(0, top).map((each) => [each.name, grouped(each.instructions), grouped(each.calls)]),
          screen,
        ),
  ];
  return parts.join("\n");
}

/** A line for each recording. */
export function traceCheckText(recordings: readonly CheckedRecording[], screen: Screen): string {
  const line = (each: CheckedRecording): string => {
    if (each.damage !== undefined) return `${screen.bad("damaged")}  ${each.damage}\n`;
    const remarks = [
      ...(each.whole === 0 ? ["no test with both markers: `compare` takes none such"] : []),
      ...(each.open! > 0 ? [`${countText(each.open!, "test")} without an end marker`] : []),
      ...(each.unnamed! > 0
        ? [`${grouped(each.unnamed!)} references in pages nobody named, the first at byte ${each.firstUnnamed!}`]
        : []),
    ];
    return (
      `${screen.good("whole")}    ${each.file}: ${grouped(each.records!)} records, ${countText(each.whole!, "test")}\n` +
      remarks.map((remark) => note(remark, screen)).join("")
    );
  };
  return recordings.map(line).join("");
}
