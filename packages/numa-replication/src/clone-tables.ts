/**
 * The private path of a holder: its PGD, and every table from there to the 2 MiB leaves of the replicated window.
 *
 * PTE pages are not cloned: fixmap's and vsyscall's stay shared, so that one set_fixmap serves all nodes. Only the PTE
 * page behind the ragged end of text, where there is one, becomes the holder's own, because two of its leaves must
 * differ.
 */
import {
  entryHigh,
  entryLow,
  type Frame,
  frameOf,
  isLeaf,
  isPresent,
  pagesBetween,
  walkTables,
} from "@kreplica/hw-x86/api";
import type { TableMemory } from "@kreplica/mm-core/api";

/**
 * First address of the window whose tables are private: the last 2 GiB.
 * @patch 03/12 arch/x86/include/asm/numa_replication.h PAGE_TABLE_REPLICATION_LEFT
 */
export const WINDOW_START = 0xffff_ffff_8000_0000n;

/**
 * Copies the kernel half of a top-level table, then clones what leads to the window.
 *
 * @patch 03/12 mm/numa_replication.c replicate_pgt_p4d, replicate_pgt_pud, replicate_pgt_pmd
 * @patch 03/12 arch/x86/include/asm/numa_replication.h numa_replicate_pgt_pgd
 * @param make gives cleared table pages on the holder's node
 */
export function cloneRoot(
  entries: TableMemory,
  levels: 4 | 5,
  boundary: number,
  from: Frame,
  to: Frame,
  make: () => Frame,
): void {
  entries.copy(from, to, boundary, 512);
  cloneBelow(entries, levels, to, make);
}

/** Gives a table private lower tables where its entries lead to the window, down to PMD pages. */
export function cloneBelow(entries: TableMemory, level: number, table: Frame, make: () => Frame): void {
  eachBelow(entries, level, table, (above, at, index, lo, hi) => {
    const lower = make();
    entries.copy(frameOf(lo, hi), lower, 0, 512);
    entries.write(above, index, entryLow(lower, lo & 0xfff), (entryHigh(lower, false) | (hi & 0x8000_0000)) >>> 0);
    return at > 3 ? lower : undefined;
  });
}

/** Table pages {@link cloneRoot} takes from `make` for a root. */
export function countBelow(entries: TableMemory, level: number, table: Frame): number {
  let count = 0;
  eachBelow(entries, level, table, (_above, at, _index, lo, hi) => {
    count++;
    return at > 3 ? frameOf(lo, hi) : undefined;
  });
  return count;
}

/** The pointers that lead to the window, down to those to PMD pages. @param visit says where the walk goes on */
function eachBelow(
  entries: TableMemory,
  levels: number,
  top: Frame,
  visit: (table: Frame, level: number, index: number, lo: number, hi: number) => Frame | undefined,
): void {
  if (levels <= 2) return;
  walkTables<Frame>(levels, pagesBetween(WINDOW_START, 1n << 64n), top, (table, level, index) => {
    const lo = entries.low(table, index);
    if (!isPresent(lo) || isLeaf(lo, level)) return undefined;
    return visit(table, level, index, lo, entries.high(table, index));
  });
}
