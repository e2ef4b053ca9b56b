/**
 * The walk over the entries of page tables in a range of addresses: the one loop over levels and indices, whatever is
 * done at an entry.
 *
 *   level 5 PGD | 4 PGD or P4D | 3 PUD | 2 PMD | 1 PTE
 *
 * What is walked is the caller's: a table, several in lockstep, a table with the rights above it. The visitor looks at
 * the entry, may fill it, and says what lies below.
 */
import { PAGE, PAGE_BYTES } from "./addr.js";
import type { Frame } from "./ids.js";
import type { PhysMemory } from "./memory-api.js";
import { type PageRange, pagesBetween } from "./page-range.js";
import { frameOf, isLeaf, isPresent } from "./pte.js";

const ENTRY_BYTES = [0n, 1n << 12n, 1n << 21n, 1n << 30n, 1n << 39n, 1n << 48n] as const;

/** Bytes an entry of a level stands for, leaf or not. @param level 1 (4 KiB) to 5 (256 TiB) */
export const entryBytes = (level: number): bigint => ENTRY_BYTES[level]!;

/** By level: a power for each table a walk goes into would cost more than the table. */
const ENTRY_PAGES = [0, 1, 2, 3, 4, 5].map((level) => 512 ** (level - 1));

/** Pages of 4 KiB an entry of a level stands for. @param level 1 to 5 */
export const entryPages = (level: number): number => ENTRY_PAGES[level]!;

const entryPage = (base: number, level: number, index: number): number => base + index * entryPages(level);

/**
 * First address an entry stands for.
 * @param base page of 4 KiB, below 2^52, at which the entry's table begins: as a {@link Visit} gets it
 */
// A multiple of 4096 below 2^64 is a number exactly; and one conversion costs less than a sum of two.
export const entryAddress = (base: number, level: number, index: number): bigint =>
  BigInt(entryPage(base, level, index) * PAGE_BYTES);

/** The addresses that some entries of a top-level table stand for. @param first @param last 0 to 511 */
export function slotRange(levels: number, first: number, last: number): PageRange {
  const bits = 9 * levels + 12;
  const at = (index: number): bigint => BigInt.asUintN(64, BigInt.asIntN(bits, entryAddress(0, levels, index)));
  return pagesBetween(at(first), at(last) + entryBytes(levels));
}

/**
 * Looks at one entry.
 * @param at what is walked here
 * @param base {@link entryAddress} makes the entry's address from it, canonical
 * @returns what is walked below, `undefined` to go on beside, `false` to end the whole walk
 */
export type Visit<T> = (at: T, level: number, index: number, base: number) => T | undefined | false;

/** The first entry of a table from `first` to `last` that is worth a visit; `last + 1` where none is. */
export type NextEntry<T> = (at: T, first: number, last: number) => number;

/** Pages of the tree, by number, the two halves one after the other: levels 1 to 3, and above those. */
interface Position {
  readonly low: number;
  readonly high: number;
}
const HIGH = 512 ** 3;
const position = (page: number): Position => ({ low: page % HIGH, high: Math.floor(page / HIGH) });
const indexAt = ({ low, high }: Position, level: number): number =>
  (level <= 3 ? low >>> (9 * (level - 1)) : high >>> (9 * (level - 4))) & 511;

interface Walk<T> extends Ends {
  readonly levels: number;
  readonly visit: Visit<T>;
  readonly leave: ((at: T, level: number, index: number, below: T) => void) | undefined;
  readonly next: NextEntry<T> | undefined;
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
  const ends = endsOf(levels, range);
  return !ends || below({ levels, ...ends, visit, leave, next }, top, levels, 0, true, true);
}

/** Where a walk begins and ends. */
interface Ends {
  /** First and last page of the range. */
  readonly first: Position;
  readonly last: Position;
  /** Base of the upper half's entries in the top-level table: pages between the halves. */
  readonly upper: number;
}

/** @returns undefined where no page of the range has an entry */
function endsOf(levels: number, range: PageRange): Ends | undefined {
  if (range.pages < 1) return undefined;
  const half = 256 * entryPages(levels);
  const gap = 2 ** 52 - 2 * half;
  const start = Number(range.start >> 12n);
  // A range that begins within a page ends within one.
  const end = start + range.pages - ((range.start & (PAGE - 1n)) === 0n ? 1 : 0);
  const from = start < half ? start : start < gap + half ? half : start - gap;
  const to = end < half ? end : end < gap + half ? half - 1 : end - gap;
  return from > to ? undefined : { first: position(from), last: position(to), upper: gap };
}

/** @param onFirst @param onLast whether the range begins, ends, within this table */
function below<T>(walk: Walk<T>, at: T, level: number, base: number, onFirst: boolean, onLast: boolean): boolean {
  const { visit, leave, next } = walk;
  const first = onFirst ? indexAt(walk.first, level) : 0;
  const last = onLast ? indexAt(walk.last, level) : 511;
  for (let index = first; index <= last; index++) {
    if (next && (index = next(at, index, last)) > last) break;
    const origin = index >= 256 && level === walk.levels ? walk.upper : base;
    const lower = visit(at, level, index, origin);
    if (lower === undefined) continue;
    if (lower === false) return false;
    const start = entryPage(origin, level, index);
    if (level > 1 && !below(walk, lower, level - 1, start, onFirst && index === first, onLast && index === last))
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
  const ends = endsOf(levels, range);
  if (ends) present({ levels, ...ends, memory, visitor }, root, levels, 0, true, true);
}

interface PresentWalk extends Ends {
  readonly levels: number;
  readonly memory: Pick<PhysMemory, "read32" | "nextEntry">;
  readonly visitor: RangeVisitor;
}

/** {@link below} for what {@link walkRange} visits: without a call of the visitor's for an entry that leads on. */
function present(
  walk: PresentWalk,
  table: Frame,
  level: number,
  base: number,
  onFirst: boolean,
  onLast: boolean,
): void {
  const { memory, visitor } = walk;
  const first = onFirst ? indexAt(walk.first, level) : 0;
  const last = onLast ? indexAt(walk.last, level) : 511;
  // What is absent and zero makes up most of most tables.
  for (let index = first; (index = memory.nextEntry(table, index, last)) <= last; index++) {
    const lo = memory.read32(table, index * 2);
    if (!isPresent(lo)) continue;
    const hi = memory.read32(table, index * 2 + 1);
    const start = entryPage(index >= 256 && level === walk.levels ? walk.upper : base, level, index);
    if (isLeaf(lo, level)) {
      visitor.leaf?.(BigInt(start * PAGE_BYTES), level as 1 | 2 | 3, lo, hi, table, index);
      continue;
    }
    const lower = frameOf(lo, hi);
    if (visitor.table?.(BigInt(start * PAGE_BYTES), level, lower, table, index, lo, hi) === false) continue;
    present(walk, lower, level - 1, start, onFirst && index === first, onLast && index === last);
    visitor.left?.(level, lower, table, index);
  }
}
