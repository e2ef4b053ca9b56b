/**
 * The tables below a kernel's root as a tree: what leads to the image is shown entry by entry, what hangs beside it is
 * counted.
 */
import {
  type AddressRange,
  ALL_PAGES,
  entryAddress,
  entryBytes,
  type Frame,
  frameOf,
  hex,
  isLeaf,
  isPresent,
  leafFrame,
  meet,
  type NodeId,
  type PhysMemory,
  walkRange,
  walkTables,
} from "@kreplica/hw-x86/api";
import type { Table, TableEntries } from "@kreplica/report";
import { tableName } from "./tables-picture.js";

/** A part of the image, live addresses; `end` is the first beyond it. */
export interface Part extends AddressRange {
  readonly what: string;
}

/** What a tree is made of. */
export interface TreeOf {
  readonly memory: PhysMemory;
  nodeOf(frame: Frame): NodeId;
  readonly levels: 4 | 5;
  /** Of the image, ascending; their way is shown. */
  readonly parts: readonly Part[];
}

/** A table whose entries are being looked at. */
interface Open {
  readonly frame: Frame;
  readonly entries: TableEntries[];
  /** Tables that hang beside the way to the image, by node. */
  readonly more: Map<NodeId, number>;
}
const open = (frame: Frame): Open => ({ frame, entries: [], more: new Map() });

/** The tree of one root. */
export function tableTree(of: TreeOf, root: Frame): Table {
  const top = open(root);
  walkTables<Open>(
    of.levels,
    ALL_PAGES,
    top,
    (at, level, index, base) => entry(of, at, level, index, entryAddress(base, level, index)),
    (at, level, index, below) => {
      at.entries.push({ first: index, last: index, table: shown(of, below, level - 1) });
    },
  );
  return shown(of, top, of.levels);
}

const partAt = ({ parts }: TreeOf, mapped: AddressRange): Part | undefined => parts.find((part) => meet(part, mapped));

/** Notes an entry. @param start first address it stands for @returns the table it leads to, where that is shown */
function entry(
  of: TreeOf,
  { frame, entries, more }: Open,
  level: number,
  index: number,
  start: bigint,
): Open | undefined {
  const lo = of.memory.read32(frame, index * 2);
  const hi = of.memory.read32(frame, index * 2 + 1);
  if (!isPresent(lo)) return undefined;
  const bytes = entryBytes(level);
  const part = partAt(of, { start, end: start + bytes });
  if (!isLeaf(lo, level)) {
    const next = frameOf(lo, hi);
    if (part) return open(next);
    count(of, next, level - 1, more);
    return undefined;
  }
  if (!part) return undefined;
  const node = of.nodeOf(leafFrame(lo, hi, level));
  const before = entries.at(-1);
  if (before?.node === node && before.what === part.what && before.last === index - 1)
    entries[entries.length - 1] = { ...before, last: index, bytes: before.bytes! + Number(bytes) };
  else entries.push({ first: index, last: index, bytes: Number(bytes), node, what: part.what });
  return undefined;
}

function shown(of: TreeOf, { frame, entries, more }: Open, level: number): Table {
  return {
    name: tableName(level, of.levels),
    frame: hex(frame),
    node: of.nodeOf(frame),
    entries,
    ...(more.size === 0
      ? {}
      : { more: [...more].sort(([a], [b]) => a - b).map(([node, tables]) => ({ node, tables })) }),
  };
}

/** Adds a table and all below it to the counts. */
function count(of: TreeOf, table: Frame, level: number, tables: Map<NodeId, number>): void {
  const add = (frame: Frame): void => {
    const node = of.nodeOf(frame);
    tables.set(node, (tables.get(node) ?? 0) + 1);
  };
  add(table);
  if (level === 1) return;
  walkRange(of.memory, table, level, ALL_PAGES, {
    table(_address, above, lower) {
      add(lower);
      return above > 2;
    },
  });
}
