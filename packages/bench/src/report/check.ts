/**
 * What a check found, as text: a table of the defects that have a name, and a paragraph for each way of going wrong.
 */
import { renderTable, type Screen, wrap } from "./terminal.js";
import { countText } from "./units.js";

/** One way of going wrong on one kind of kernel. */
export interface Finding {
  /** The defect behind it; absent when no defect of the series accounts for it. */
  readonly name?: string | undefined;
  /** What the defect is, in a clause. */
  readonly what: string;
  readonly invariant: string;
  readonly sentence: string;
  readonly detail: string;
  /** What leads there, a line each; none when the boot itself does. */
  readonly operations: readonly string[];
  /** `2 nodes, 4 levels, KPTI on` */
  readonly kernel: string;
  /** Whether the named defect is the only one on that kernel. */
  readonly alone: boolean;
}

/** A defect that was looked for and did not show. */
export interface Unseen {
  readonly name: string;
  readonly what: string;
  readonly why: string;
}

/** @param kinds of kernel tried */
export function findingsText(
  findings: readonly Finding[],
  unseen: readonly Unseen[],
  kinds: number,
  screen: Screen,
): string {
  const ways = new Map<string, Finding[]>();
  for (const each of findings) {
    const way = JSON.stringify([each.name, each.invariant, each.operations]);
    const list = ways.get(way);
    if (list) list.push(each);
    else ways.set(way, [each]);
  }
  const paragraphs = [...ways.values()].map((same) => {
    const { name, invariant, sentence, detail, operations, kernel } = same[0]!;
    const others = same.length === 1 ? "" : ` (and so on ${same.length - 1} more of ${kinds} kinds of kernel)`;
    const head = `${name === undefined ? "" : `${screen.bold(name)}: `}${screen.bad(invariant)} ${sentence.replace(/^…/, "")}`;
    return (
      indented(head, "", screen) +
      indented(`${kernel}: ${detail}${others}`, "  ", screen) +
      (operations.length === 0
        ? "  right after the boot\n"
        : operations.map((operation, index) => indented(`${index + 1}. ${operation}`, "  ", screen)).join(""))
    );
  });
  return [
    ...(findings.filter(({ name }) => name !== undefined).length > 1 ? [summary(findings, screen)] : []),
    ...paragraphs,
    ...(unseen.length > 0 ? [unseenText(unseen, screen)] : []),
  ].join("\n");
}

/** A line for each name: the rule, how long the way is, what it is. */
function summary(findings: readonly Finding[], screen: Screen): string {
  const named = findings.filter(({ name }) => name !== undefined);
  const way = ({ operations }: Finding): string =>
    operations.length === 0 ? "the boot" : countText(operations.length, "operation");
  const rows = named.map((each) => [each.name!, each.invariant, way(each), each.what]);
  const room =
    screen.columns - 8 - [0, 1, 2].reduce((sum, at) => sum + Math.max(...rows.map((row) => row[at]!.length), 4), 0);
  return (
    renderTable(
      [{ head: "name" }, { head: "rule" }, { head: "way" }, { head: "what" }],
      rows.map((row) => [...row.slice(0, 3), wrap(row[3]!, room).join("\n")]),
      screen,
    ) +
    (named.every(({ alone }) => alone)
      ? indented("Each way is on a kernel that has this defect of the series alone.", "  ", screen)
      : "")
  );
}

const unseenText = (unseen: readonly Unseen[], screen: Screen): string =>
  "Looked for and not seen\n" +
  unseen
    .map(({ name, what, why }) => indented(`${name}${what === "" ? "" : ` (${what})`}: ${why}`, "  ", screen))
    .join("");

const indented = (text: string, margin: string, screen: Screen): string =>
  wrap(text, screen.columns - margin.length - 2)
    .map((line, index) => `${margin}${index > 0 ? "  " : ""}${line}\n`)
    .join("");
