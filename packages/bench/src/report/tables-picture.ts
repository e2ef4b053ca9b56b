/**
 * The cover letter's picture, drawn from live tables: where each node's way to kernel text leads, level by level, and
 * how the user half of a process hangs below all of them alike.
 */
import {
  ALL_PAGES,
  type Frame,
  frameOf,
  isLeaf,
  isPresent,
  leafFrame,
  type NodeId,
  type PhysMemory,
  tableIndex,
  walkTables,
} from "@kreplica/hw-x86/api";

/** One node's view. */
export interface PicturedRoot {
  readonly node: NodeId;
  readonly root: Frame;
}

const NAMES = ["", "PTE", "PMD", "PUD", "P4D", "PGD"];
/** What a table of a level is called: the uppermost is the PGD, of 4 levels or 5. */
export const tableName = (level: number, levels: 4 | 5): string => (level === levels ? "PGD" : NAMES[level]!);
const digits = (frame: Frame): string => frame.toString(16);

/**
 * The way to an address in one root: `PGD[511] 2a10 -> PUD[510] ...`.
 * @returns one cell for each level, the last the leaf
 */
export function wayTo(memory: PhysMemory, root: Frame, levels: 4 | 5, address: bigint): string[] {
  const cells: string[] = [];
  let table = root;
  for (let level: number = levels; ; level--) {
    const index = tableIndex(address, level);
    const lo = memory.read32(table, index * 2);
    const hi = memory.read32(table, index * 2 + 1);
    const name = tableName(level, levels);
    cells.push(`${name} ${digits(table)}[${index}]`);
    if (!isPresent(lo)) return [...cells, "nothing"];
    if (isLeaf(lo, level)) return [...cells, `frame ${digits(leafFrame(lo, hi, level))}`];
    table = frameOf(lo, hi);
  }
}

/** Before the first level of a row, the node's name; between two levels. */
const MARGIN = 10;
const ARROW = " -> ";

/**
 * Rows of nodes, columns of levels; a cell that another node has too is set off by `=`: shared, not copied.
 * @param title what the address is
 * @param columns of the screen: levels that do not fit stand below, of all nodes at the same one
 */
export function picture(
  memory: PhysMemory,
  roots: readonly PicturedRoot[],
  levels: 4 | 5,
  address: bigint,
  title: string,
  columns = Infinity,
): string {
  const rows = roots.map(({ node, root }) => ({ name: `node ${node}`, cells: wayTo(memory, root, levels, address) }));
  const depth = Math.max(...rows.map((row) => row.cells.length));
  const counts = Array.from({ length: depth }, (_, column) => {
    const seen = new Map<string, number>();
    for (const row of rows) seen.set(row.cells[column] ?? "", (seen.get(row.cells[column] ?? "") ?? 0) + 1);
    return seen;
  });
  const marked = rows.map((row) => ({
    name: row.name,
    cells: row.cells.map((cell, column) => (counts[column]!.get(cell)! > 1 ? `=${cell}` : ` ${cell}`)),
  }));
  const widths = Array.from({ length: depth }, (_, column) =>
    Math.max(...marked.map((row) => (row.cells[column] ?? "").length)),
  );
  // Of each line of a row, the columns it has.
  const lines: number[][] = [[]];
  let width = MARGIN;
  for (const [column, each] of widths.entries()) {
    width += each + ARROW.length;
    if (width > columns && lines.at(-1)!.length > 0) {
      lines.push([]);
      width = MARGIN + each + ARROW.length;
    }
    lines.at(-1)!.push(column);
  }
  const rowText = ({ name, cells }: (typeof marked)[number]): string =>
    lines
      .map((shown, nth) => {
        const there = shown.filter((column) => cells[column] !== undefined);
        const text = there.map((column) => cells[column]!.padEnd(widths[column]!)).join(ARROW);
        const onward = cells.length > shown.at(-1)! + 1 ? ARROW : "";
        return there.length === 0
          ? ""
          : `  ${(nth === 0 ? name : "").padEnd(MARGIN - 2)}${text}${onward}`.trimEnd() + "\n";
      })
      .join("");
  return `${title}, 0x${address.toString(16)}\n${marked.map(rowText).join("")}`;
}

/** What differs between two roots, by the slot of each level on the way to the window. */
export function differences(memory: PhysMemory, a: PicturedRoot, b: PicturedRoot, levels: 4 | 5): string[] {
  const found: string[] = [];
  const roots = { left: a.root, right: b.root, path: "" };
  walkTables<typeof roots>(levels, ALL_PAGES, roots, ({ left, right, path }, level, index) => {
    if (left === right) return undefined;
    const [lo, hi] = [memory.read32(left, index * 2), memory.read32(left, index * 2 + 1)];
    const [otherLo, otherHi] = [memory.read32(right, index * 2), memory.read32(right, index * 2 + 1)];
    if (lo === otherLo && hi === otherHi) return undefined;
    const here = `${path}${tableName(level, levels)}[${index}]`;
    const tables = isPresent(lo) && isPresent(otherLo) && !isLeaf(lo, level) && !isLeaf(otherLo, level);
    if (tables) return { left: frameOf(lo, hi), right: frameOf(otherLo, otherHi), path: `${here} ` };
    found.push(here);
    return undefined;
  });
  return runs(found);
}

/** `PMD[8]`, `PMD[9]`, ... as `PMD[8..9]`. */
function runs(entries: readonly string[]): string[] {
  const result: { path: string; from: number; to: number }[] = [];
  for (const entry of entries) {
    const [, path, index] = /^(.*)\[(\d+)\]$/.exec(entry)!;
    const last = result.at(-1);
    if (last && last.path === path && last.to + 1 === Number(index)) last.to++;
    else result.push({ path: path!, from: Number(index), to: Number(index) });
  }
  return result.map(({ path, from, to }) => `${path}[${from === to ? from : `${from}..${to}`}]`);
}
