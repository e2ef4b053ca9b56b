/**
 * The tables below a kernel's root as a tree: what leads to the image is shown entry by entry, what hangs beside it is
 * counted.
 */
import {
  type AddressRange,
  canonical,
  type Frame,
  frameOf,
  hex,
  isLeaf,
  isPresent,
  leafFrame,
  type NodeId,
  type PhysMemory,
} from "@kreplica/hw-x86/api";
import type { Table, TableEntries } from "@kreplica/report";
import { tableName } from "./tables-picture.js";

/** A part of the image, live addresses; `end` is the first beyond it. */
export interface Part {
  readonly what: string;
  readonly start: bigint;
  readonly end: bigint;
}

/** What a tree is made of. */
export interface TreeOf {
  readonly memory: PhysMemory;
  nodeOf(frame: Frame): NodeId;
  readonly levels: 4 | 5;
  /** Of the image, ascending; their way is shown. */
  readonly parts: readonly Part[];
}

/** Bytes an entry of a level maps: 4 KiB at level 1. */
const span = (level: number): bigint => 1n << BigInt(12 + 9 * (level - 1));

/** The tree of one root. */
export function tableTree(of: TreeOf, root: Frame): Table {
  return below(of, root, of.levels, 0n);
}

const partAt = ({ parts }: TreeOf, { start, end }: AddressRange): Part | undefined =>
  parts.find((part) => part.start < end && start < part.end);

function below(of: TreeOf, table: Frame, level: number, base: bigint): Table {
  const entries: TableEntries[] = [];
  const more = new Map<NodeId, number>();
  for (let index = 0; index < 512; index++) {
    const lo = of.memory.read32(table, index * 2);
    const hi = of.memory.read32(table, index * 2 + 1);
    if (!isPresent(lo)) continue;
    const start = canonical(base + BigInt(index) * span(level), of.levels);
    const part = partAt(of, { start, end: start + span(level) });
    if (!isLeaf(lo, level)) {
      const next = frameOf(lo, hi);
      if (part) {
        const shown = below(of, next, level - 1, base + BigInt(index) * span(level));
        entries.push({ first: index, last: index, table: shown });
      } else count(of, next, level - 1, more);
      continue;
    }
    if (!part) continue;
    const node = of.nodeOf(leafFrame(lo, hi, level));
    const before = entries.at(-1);
    if (before?.node === node && before.what === part.what && before.last === index - 1)
      entries[entries.length - 1] = { ...before, last: index, bytes: before.bytes! + Number(span(level)) };
    else entries.push({ first: index, last: index, bytes: Number(span(level)), node, what: part.what });
  }
  return {
    name: tableName(level, of.levels),
    frame: hex(table),
    node: of.nodeOf(table),
    entries,
    ...(more.size === 0
      ? {}
      : { more: [...more].sort(([a], [b]) => a - b).map(([node, tables]) => ({ node, tables })) }),
  };
}

/** Adds a table and all below it to the counts. */
function count(of: TreeOf, table: Frame, level: number, tables: Map<NodeId, number>): void {
  const node = of.nodeOf(table);
  tables.set(node, (tables.get(node) ?? 0) + 1);
  if (level === 1) return;
  for (let index = 0; index < 512; index++) {
    const lo = of.memory.read32(table, index * 2);
    if (isPresent(lo) && !isLeaf(lo, level))
      count(of, frameOf(lo, of.memory.read32(table, index * 2 + 1)), level - 1, tables);
  }
}
