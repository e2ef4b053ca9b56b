/**
 * Table pages that map nothing any more: unmapping leaves them behind, and they stand in the way of a large leaf.
 *
 * Only those the page allocator handed out are taken: tables of early boot and of the replicas' rooms were never its
 * own.
 */
import { type Frame, frameOf, isLeaf, isPresent, type PageRange, walkTables } from "@kreplica/hw-x86/api";
import type { PageAllocator } from "../memory/page-allocator-api.js";
import type { TableRoot } from "./replica-view-api.js";
import type { TableMemory } from "./table-memory-api.js";

/**
 * Every top-level table of init_mm under which kernel tables hang: under KPTI the user half of each pair too, since its
 * entries of the image and of cpu_entry_area name the same lower tables. Who gives a table back looks under all of
 * them.
 */
export function rootsOfBothHalves(roots: readonly TableRoot[], pti: boolean): readonly Frame[] {
  return roots.flatMap(({ root }) => (pti ? [root, root + 1] : [root]));
}

/** An entry that leads to an empty table. */
interface EmptyEntry {
  readonly table: Frame;
  readonly index: number;
}

/** What was found over a range: entries that lead to empty tables. */
export interface EmptyTables {
  readonly entries: readonly EmptyEntry[];
  /** The tables, each once, however many entries lead there. */
  readonly tables: ReadonlySet<Frame>;
}

/**
 * @param roots both halves of each
 * @param range whole 2 MiB
 * @returns what has to go before 2 MiB leaves fit on every root; undefined where a leaf is in the way, or a table that
 *   is in use or not ours
 */
export function findEmptyTables(
  entries: TableMemory,
  allocator: PageAllocator,
  roots: readonly Frame[],
  levels: 4 | 5,
  range: PageRange,
): EmptyTables | undefined {
  const found = new Map<string, EmptyEntry>();
  const tables = new Set<Frame>();
  const fits = walkTables<readonly Frame[]>(levels, range, roots, (above, level, index) => {
    const lowers: Frame[] = [];
    for (const table of above) {
      const lo = entries.low(table, index);
      if (!isPresent(lo)) continue;
      if (isLeaf(lo, level)) return false;
      const lower = frameOf(lo, entries.high(table, index));
      if (level > 2) {
        lowers.push(lower);
        continue;
      }
      if (!tables.has(lower) && !(allocator.owns(lower, 0) && isEmpty(entries, lower))) return false;
      tables.add(lower);
      const name = `${table}/${index}`;
      if (!found.has(name)) found.set(name, { table, index });
    }
    return lowers.length > 0 ? lowers : undefined;
  });
  return fits ? { entries: [...found.values()], tables } : undefined;
}

/** An entry that was made absent still has its bits and will be wanted again: only zeroes are nothing. */
function isEmpty(entries: TableMemory, table: Frame): boolean {
  for (let index = 0; index < 512; index++)
    if (entries.low(table, index) !== 0 || entries.high(table, index) !== 0) return false;
  return true;
}
