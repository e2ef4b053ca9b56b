/**
 * The walk over the entries of page tables in a range of addresses: the one loop over levels and indices, whatever is
 * done at an entry.
 *
 *   level 5 PGD | 4 PGD or P4D | 3 PUD | 2 PMD | 1 PTE
 *
 * What is walked is the caller's: a table, several in lockstep, a table with the rights above it. The visitor looks at
 * the entry, may fill it, and says what lies below.
 */
import { PAGE } from "./addr.js";
import type { Frame } from "./ids.js";
import type { PhysMemory } from "./memory-api.js";
import { type PageRange, pagesBetween } from "./page-range.js";
import { frameOf, isLeaf, isPresent } from "./pte.js";

const ENTRY_BYTES = [0n, 1n << 12n, 1n << 21n, 1n << 30n, 1n << 39n, 1n << 48n] as const;

/** Bytes an entry of a level stands for, leaf or not. @param level 1 (4 KiB) to 5 (256 TiB) */
export const entryBytes = (level: number): bigint => ENTRY_BYTES[level]!;

/** Pages of 4 KiB an entry of a level stands for. @param level 1 to 5 */
export const entryPages = (level: number): number => 512 ** (level - 1);

/** First address an entry stands for. @param base as a {@link Visit} gets it */
export const entryAddress = (base: bigint, level: number, index: number): bigint =>
  base + BigInt(index) * entryBytes(level);

/** The addresses that some entries of a top-level table stand for. @param first @param last 0 to 511 */
export function slotRange(levels: number, first: number, last: number): PageRange {
  const bits = 9 * levels + 12;
  const at = (index: number): bigint => BigInt.asUintN(64, BigInt.asIntN(bits, entryAddress(0n, levels, index)));
  return pagesBetween(at(first), at(last) + entryBytes(levels));
}

/**
 * Looks at one entry.
 * @param at what is walked here
 * @param base {@link entryAddress} makes the entry's address from it, canonical
 * @returns what is walked below, `undefined` to go on beside, `false` to end the whole walk
 */
export type Visit<T> = (at: T, level: number, index: number, base: bigint) => T | undefined | false;

/** The first entry of a table from `first` to `last` that is worth a visit; `last + 1` where none is. */
export type NextEntry<T> = (at: T, first: number, last: number) => number;

interface Walk<T> {
  readonly levels: number;
  /** Indices of the first and last page of the range, by level. */
  readonly first: readonly number[];
  readonly last: readonly number[];
  readonly visit: Visit<T>;
  readonly leave: ((at: T, level: number, index: number, below: T) => void) | undefined;
  readonly next: NextEntry<T> | undefined;
  /** Base of the upper half's entries in the top-level table. */
  readonly upper: bigint;
}

/**
 * Visits every entry, present or not, that stands for a page of the range, in order of address, and what it leads to
 * before the next; non-canonical addresses have none.
 * @param levels of `top`, 1 to 5: a table within a tree can be walked alone
 * @param leave told of an entry once all below it was visited
 * @param next passes over entries that need no visit; all are visited when absent
 * @returns whether the walk came to its end
 */
export function walkTables<T>(
  levels: number,
  range: PageRange,
  top: T,
  visit: Visit<T>,
  leave?: (at: T, level: number, index: number, below: T) => void,
  next?: NextEntry<T>,
): boolean {
  if (range.pages < 1) return true;
  const bits = BigInt(12 + 9 * levels);
  const half = 1n << (bits - 1n);
  const gap = (1n << 64n) - (1n << bits);
  const end = range.start + BigInt(range.pages) * PAGE - 1n;
  // Positions in the tree: the two halves one after the other.
  const from = range.start < half ? range.start : range.start < gap + half ? half : range.start - gap;
  const to = end < half ? end : end < gap + half ? half - 1n : end - gap;
  if (from > to) return true;
  const indices = (position: bigint): number[] => {
    const found = [0];
    for (let level = 1, page = Number(position >> 12n); level <= levels; level++, page = Math.floor(page / 512))
      found.push(page % 512);
    return found;
  };
  const walk = { levels, first: indices(from), last: indices(to), visit, leave, next, upper: gap };
  return below(walk, top, levels, 0n, true, true);
}

/** @param onFirst @param onLast whether the range begins, ends, within this table */
function below<T>(walk: Walk<T>, at: T, level: number, base: bigint, onFirst: boolean, onLast: boolean): boolean {
  const { visit, leave, next } = walk;
  const first = onFirst ? walk.first[level]! : 0;
  const last = onLast ? walk.last[level]! : 511;
  for (let index = first; index <= last; index++) {
    if (next && (index = next(at, index, last)) > last) break;
    const origin = index >= 256 && level === walk.levels ? walk.upper : base;
    const lower = visit(at, level, index, origin);
    if (lower === undefined) continue;
    if (lower === false) return false;
    const address = entryAddress(origin, level, index);
    if (level > 1 && !below(walk, lower, level - 1, address, onFirst && index === first, onLast && index === last))
      return false;
    leave?.(at, level, index, lower);
  }
  return true;
}

/** Told of each present entry a walk meets, in order of address. */
export interface RangeVisitor {
  /** An entry that ends the way. @param address first byte it maps, canonical */
  leaf?(address: bigint, level: 1 | 2 | 3, lo: number, hi: number, table: Frame, index: number): void;
  /** A pointer to a lower table. @param level of the entry @returns false to pass over what lies below */
  table?(
    address: bigint,
    level: number,
    lower: Frame,
    table: Frame,
    index: number,
    lo: number,
    hi: number,
  ): boolean | void;
  /** A pointer whose lower table was walked. @param level of the entry */
  left?(level: number, lower: Frame, table: Frame, index: number): void;
}

/** Visits what is present in a range of a root. @param levels of the root, 1 to 5 */
export function walkRange(
  memory: Pick<PhysMemory, "read32" | "nextEntry">,
  root: Frame,
  levels: number,
  range: PageRange,
  visitor: RangeVisitor,
): void {
  const { left } = visitor;
  walkTables<Frame>(
    levels,
    range,
    root,
    (table, level, index, base) => {
      const lo = memory.read32(table, index * 2);
      if (!isPresent(lo)) return undefined;
      const hi = memory.read32(table, index * 2 + 1);
      if (isLeaf(lo, level)) {
        visitor.leaf?.(entryAddress(base, level, index), level as 1 | 2 | 3, lo, hi, table, index);
        return undefined;
      }
      const lower = frameOf(lo, hi);
      const follow = visitor.table?.(entryAddress(base, level, index), level, lower, table, index, lo, hi);
      return follow === false ? undefined : lower;
    },
    left && ((table, level, index, lower) => left.call(visitor, level, lower, table, index)),
    // What is absent and zero makes up most of most tables.
    (table, first, last) => memory.nextEntry(table, first, last),
  );
}
