/**
 * The W+X check: every leaf of every root that a CPU can run on, with the rights of the whole path, not of the leaf
 * alone.
 *
 * Linux checks the tables of init_mm; the boot table, on which CPUs start and which the series leaves RWX (D4), is a
 * root like any other here. A table shared by several roots is looked at once for each combination of rights above it.
 *
 * @patch 07/12 arch/x86/mm/dump_pagetables.c ptdump_walk_pgd_level_checkwx
 */
import {
  ALL_PAGES,
  entryAddress,
  entryBytes,
  type Frame,
  frameOf,
  isExecutable,
  isLeaf,
  isPresent,
  isWritable,
  type PhysMemory,
  walkTables,
} from "@kreplica/hw-x86/api";

/** A root to be checked, and what to call it. */
export interface CheckedRoot {
  readonly name: string;
  readonly root: Frame;
}

/** A run of leaves one can write and execute. */
export interface WritableExecutable {
  readonly root: string;
  /** First address, canonical. */
  readonly start: bigint;
  /** First byte behind the run. */
  readonly end: bigint;
}

/**
 * @param roots in the order of the report; a part shared by several is reported under the first
 * @returns runs in address order by root; empty when all is well
 */
export function findWritableExecutable(
  memory: PhysMemory,
  roots: readonly CheckedRoot[],
  levels: 4 | 5,
): WritableExecutable[] {
  const found: WritableExecutable[] = [];
  const seen = new Set<number>();
  for (const { name, root } of roots) {
    let last: { start: bigint; end: bigint } | undefined;
    const flush = (): void => {
      if (last) found.push({ root: name, ...last });
      last = undefined;
    };
    const isNew = (table: Frame, level: number): boolean => {
      const key = table * 8 + level;
      return !seen.has(key) && seen.add(key) !== undefined;
    };
    if (!isNew(root, levels)) continue;
    walkTables<Frame>(levels, ALL_PAGES, root, (table, level, index, base) => {
      // Only paths that are writable and executable so far are followed: nothing below others can be both.
      const lo = memory.read32(table, index * 2);
      if (!isPresent(lo) || !isWritable(lo)) return undefined;
      const hi = memory.read32(table, index * 2 + 1);
      if (!isExecutable(hi)) return undefined;
      if (!isLeaf(lo, level)) {
        const lower = frameOf(lo, hi);
        return isNew(lower, level - 1) ? lower : undefined;
      }
      const start = entryAddress(base, level, index);
      if (last?.end !== start) {
        flush();
        last = { start, end: start };
      }
      last.end += entryBytes(level);
      return undefined;
    });
    flush();
  }
  return found;
}
