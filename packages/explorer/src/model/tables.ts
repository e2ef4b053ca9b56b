/** Page tables read from the machine's bytes, each once, however many roots lead to it. */
import {
  ALL_PAGES,
  entryPages,
  frameOf,
  isExecutable,
  isLeaf,
  isPresent,
  leafFrame,
  type PhysMemory,
  walkTables,
} from "@kreplica/hw-x86/api";
import type { EntryRun, TableView } from "./view.js";

/** Bits of a low half, and their words. */
const BITS = [
  [0x4, "user"],
  [0x20, "accessed"],
  [0x40, "dirty"],
  [0x100, "global"],
] as const;

/** What an entry allows, in words. @param leaf of a page, not of a table */
export function flagsOf(lo: number, hi: number, leaf: boolean, level: number): string {
  return [
    lo & 2 ? "rw" : "ro",
    isExecutable(hi) ? "x" : "nx",
    ...BITS.filter(([bit, word]) => lo & bit && (leaf || word === "user" || word === "accessed")).map(
      ([, word]) => word,
    ),
    ...(leaf && level > 1 ? ["large"] : []),
  ].join(" ");
}

/** A table whose entries are being read. */
interface Reading {
  readonly frame: number;
  readonly entries: EntryRun[];
}

/** Reads tables of one memory. */
export class TableReader {
  private readonly seen = new Map<number, TableView>();

  constructor(private readonly memory: PhysMemory) {}

  /** Tables read so far. */
  get tables(): TableView[] {
    return [...this.seen.values()];
  }

  /** Reads a table and all below it. @param level of the table */
  read(frame: number, level: number): void {
    if (this.seen.has(frame)) return;
    walkTables<Reading>(level, ALL_PAGES, this.begin(frame, level), (at, of, index) => this.entry(at, of, index));
  }

  /** Before what lies below: tables that lead to themselves end here. */
  private begin(frame: number, level: number): Reading {
    const entries: EntryRun[] = [];
    this.seen.set(frame, { frame, node: this.memory.nodeOf(frame), level, entries });
    return { frame, entries };
  }

  /** Notes an entry. @returns the table it leads to, where that was not read yet */
  private entry({ frame, entries }: Reading, level: number, index: number): Reading | undefined {
    const lo = this.memory.read32(frame, index * 2);
    if (!isPresent(lo)) return undefined;
    const hi = this.memory.read32(frame, index * 2 + 1);
    const leaf = isLeaf(lo, level);
    const to = leaf ? leafFrame(lo, hi, level) : frameOf(lo, hi);
    const node = this.memory.nodeOf(to);
    const flags = flagsOf(lo, hi, leaf, level);
    if (!leaf) {
      entries.push({ first: index, last: index, frame: to, node, table: true, flags });
      return this.seen.has(to) ? undefined : this.begin(to, level - 1);
    }
    const before = entries.at(-1);
    const pages = entryPages(level);
    if (
      before &&
      !before.table &&
      before.last === index - 1 &&
      before.node === node &&
      before.flags === flags &&
      before.frame + (index - before.first) * pages === to
    )
      entries[entries.length - 1] = { ...before, last: index };
    else entries.push({ first: index, last: index, frame: to, node, table: false, flags });
    return undefined;
  }
}
