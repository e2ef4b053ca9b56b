/** Page tables of every node as trees, before and after: each frame in the colour of the node it lies on. */
import { type Figures, folded } from "./html.js";
import { nodeClass } from "./machine.js";
import type { RootTables, Table, TableEntries } from "./document.js";

const chip = (figures: Figures, path: string, node: number): string =>
  `<span class="chip ${nodeClass(node)}">node ${figures.number(path)}</span>`;

function entries(figures: Figures, path: string, each: TableEntries): string {
  const range =
    each.first === each.last
      ? `[${figures.number(`${path}.first`)}]`
      : `[${figures.number(`${path}.first`)} to ${figures.number(`${path}.last`)}]`;
  const what = each.what === undefined ? "" : ` ${figures.text(`${path}.what`)}`;
  if (each.table) return `<li>${range}${what} ${tree(figures, `${path}.table`, each.table)}</li>`;
  return `<li>${range}${what} ${figures.bytes(`${path}.bytes`)} in frames of ${chip(figures, `${path}.node`, each.node!)}</li>`;
}

/** Roots that are not folded at first: one copy, and two nodes with copies. */
const OPEN = 3;

/** A table and what is below it, as nested lists. */
function tree(figures: Figures, path: string, table: Table): string {
  const own = `<b>${figures.text(`${path}.name`)}</b> <code>${figures.text(`${path}.frame`)}</code> ${chip(figures, `${path}.node`, table.node)}`;
  const more = (table.more ?? []).map(
    (each, i) =>
      `<li class="dim">${figures.number(`${path}.more.${i}.tables`)} further tables below, on ${chip(figures, `${path}.more.${i}.node`, each.node)}</li>`,
  );
  const below = table.entries.map((each, i) => entries(figures, `${path}.entries.${i}`, each));
  return `${own}${below.length + more.length === 0 ? "" : `<ul>${[...below, ...more].join("")}</ul>`}`;
}

/** The roots of both kernels. */
export function tablesSection(figures: Figures): string {
  const { tables } = figures.document;
  const shown = (kernel: RootTables["kernel"]): string =>
    tables
      .flatMap((root, i) =>
        root.kernel === kernel
          ? [
              `<div class="tree">${folded(kernel === "one copy" ? "every CPU" : `CPUs of node ${figures.number(`tables.${i}.node`)}`, tree(figures, `tables.${i}.root`, root.root), i < OPEN)}</div>`,
            ]
          : [],
      )
      .join("\n");
  return `<p class="dim">The way to the kernel's image from each root, entry by entry; what hangs beside it is counted. A frame has the colour and the number of the node it lies on.</p><div class="pair"><div><h3>One copy</h3>${shown("one copy")}</div><div><h3>Copies</h3>${shown("copies")}</div></div>`;
}
