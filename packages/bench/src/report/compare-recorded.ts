/**
 * What recordings of a kernel that the user named contain, and where it lay there: part of the comparison's report.
 * Values in, text out.
 */
import type { CompareResult } from "@kreplica/replay";
import { labelOf } from "./compare-gains.js";
import { paragraph, renderTable, right, type Screen } from "./terminal.js";
import { grouped } from "./units.js";

/** Nothing where no recording was of a named kernel. */
export function recordedText({ tests, recordedOn }: CompareResult, screen: Screen): string {
  const shown = tests.filter(({ cache, statistics }) => cache === "cold" && statistics !== undefined);
  if (shown.length === 0) return "";
  const nodes = Math.max(...shown.map(({ statistics }) => statistics!.fetch_kinsns_by_node.length));
  const share = (part: number, of: number): string => (of === 0 ? "-" : `${((100 * part) / of).toFixed(1)}`);
  const columns = [
    { head: "" },
    right("kernel\ninstr"),
    right("\nloads"),
    right("\nstores"),
    right("lines,\ntext"),
    right("\nrodata"),
    right("\ndata"),
    ...Array.from({ length: nodes }, (_, node) => right(`text %\nnode ${node}`)),
    ...Array.from({ length: nodes }, (_, node) => right(`data %\nnode ${node}`)),
  ];
  const rows = shown.map((each) => {
    const {
      kernel_insns: instructions,
      loads,
      stores,
      text_lines64: text,
      rodata_lines64: rodata,
      data_lines64: data,
      fetch_kinsns_by_node: fetched,
      data_refs_by_node: refs,
    } = each.statistics!;
    const onNode = Array.from({ length: nodes }, (_, node) => {
      const of = refs[`node${node}`];
      return of ? of.ld + of.st : 0;
    });
    const all = onNode.reduce((sum, count) => sum + count, 0);
    return [
      labelOf(each, tests),
      ...[instructions, loads, stores, text, rodata, data].map(grouped),
      ...Array.from({ length: nodes }, (_, node) => share(fetched[node] ?? 0, instructions)),
      ...onNode.map((count) => share(count, all)),
    ];
  });
  const copied = shown.filter((each) => each.copied).map((each) => each.test.name);
  return (
    `${screen.bold("Recorded:")} ${screen.dim(`what ran on ${recordedOn}, and on which node of its guest it lay`)}\n` +
    renderTable(columns, rows, screen) +
    "\n" +
    paragraph(
      "Counted in the recordings, on the CPU that carries the markers; loads and stores are of all memory; lines are of 64 bytes, each counted once. text %: kernel instructions by the node they were fetched from; data %: loads and stores outside text and rodata." +
        (copied.length === 0
          ? ""
          : ` ${copied.join(", ")}: text was fetched from copies, so this kernel had the series or its like in it. What it did for its copies is recorded, and runs on both kernels here; replication's own work is not added to it.`),
      screen,
    )
  );
}
