/** What a check found, as text: a paragraph for each way of going wrong, however many kinds of kernel go that way. */
import { type Screen, wrap } from "./terminal.js";

/** One kind of kernel going wrong. */
export interface Finding {
  readonly invariant: string;
  readonly sentence: string;
  readonly detail: string;
  /** What leads there, a line each; none when the boot itself does. */
  readonly operations: readonly string[];
  /** `2 nodes, 4 levels, KPTI on` */
  readonly kernel: string;
}

/** @param kinds of kernel tried */
export function findingsText(findings: readonly Finding[], kinds: number, screen: Screen): string {
  const ways = new Map<string, Finding[]>();
  for (const each of findings) {
    const way = JSON.stringify([each.invariant, each.operations]);
    const list = ways.get(way);
    if (list) list.push(each);
    else ways.set(way, [each]);
  }
  return [...ways.values()].map((same) => {
    const { invariant, sentence, detail, operations, kernel } = same[0]!;
    const others = same.length === 1 ? "" : ` (and so on ${same.length - 1} more of ${kinds} kinds of kernel)`;
    return indented(`${screen.bad(invariant)} ${sentence.replace(/^…/, "")}`, "", screen)
      + indented(`${kernel}: ${detail}${others}`, "  ", screen)
      + (operations.length === 0 ? "  right after the boot\n" : operations.map((operation, index) => indented(`${index + 1}. ${operation}`, "  ", screen)).join(""));
  }).join("\n");
}

const indented = (text: string, margin: string, screen: Screen): string => wrap(text, screen.columns - margin.length - 2).map((line, index) => `${margin}${index > 0 ? "  " : ""}${line}\n`).join("");
