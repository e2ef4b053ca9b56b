/** Compares what holders map in the replicated window, page by page, where their tables differ. */
import {
  type AddressRange,
  contains,
  type Frame,
  frameOf,
  isLeaf,
  isPresent,
  LARGE,
  leafFrame,
  NONE,
  PAGE,
  type PhysMemory,
} from "@kreplica/hw-x86/api";
import { Flag, flagsOf, smallTable } from "./page-reader.js";
import type { Subject } from "./subject.js";

export interface WindowPage {
  readonly frame: number;
  readonly flags: number;
}

/** What a comparison of windows is about. */
export interface Compared {
  /** Whether it matters how a page of a holder differs from the first holder's; by frames that differ, and flags. */
  matters(mine: WindowPage, first: WindowPage): boolean;
  /** Where pages may differ. */
  readonly outside: readonly AddressRange[];
}

/** Told of a page that differs as it matters. */
type Told = (address: bigint, node: number, mine: WindowPage, first: WindowPage) => void;

const HOLE: WindowPage = { frame: 0, flags: 0 };

/** What an entry of a window says of one of its 512 pages: a leaf, or an entry of the small table it names. */
function pageOf(memory: PhysMemory, lo: number, hi: number, page: number): WindowPage {
  if (!isPresent(lo)) return HOLE;
  if (isLeaf(lo, 2)) return { frame: leafFrame(lo, hi, 2) + page, flags: flagsOf(lo, hi) };
  const table = frameOf(lo, hi);
  const small = memory.read32(table, page * 2);
  if (!isPresent(small)) return HOLE;
  const high = memory.read32(table, page * 2 + 1);
  return { frame: frameOf(small, high), flags: flagsOf(small, high) };
}

/** Calls `each` for every page of which a holder's tables say something else than the first holder's. */
export function compareWindow(subject: Subject, compared: Compared, each: Told): void {
  const theirs = subject.window(subject.root(subject.holders[0]!));
  for (const node of subject.holders.slice(1)) {
    const mine = subject.window(subject.root(node));
    for (const half of [0, 1] as const) compareTables(subject, compared, node, half, mine[half], theirs[half], each);
  }
}

/** The same for one gigabyte of the window. @param table @param first the holder's PMD page and the first holder's */
function compareTables(
  subject: Subject,
  compared: Compared,
  node: number,
  half: 0 | 1,
  table: Frame,
  first: Frame,
  each: Told,
): void {
  const { memory } = subject.kernel.entries;
  const read = (from: Frame, word: number): number => (from === NONE ? 0 : memory.read32(from, word));
  const next = (from: number): number =>
    table !== NONE && first !== NONE
      ? memory.nextDifference(table, first, from, 511)
      : table === first
        ? 512
        : memory.nextEntry(table === NONE ? first : table, from, 511);
  for (let index = 0; (index = next(index)) < 512; index++) {
    const [lo, hi] = [read(table, index * 2), read(table, index * 2 + 1)];
    const [firstLow, firstHigh] = [read(first, index * 2), read(first, index * 2 + 1)];
    if (!isPresent(lo) && !isPresent(firstLow)) continue;
    const small = smallTable(lo, hi);
    // Common tables say the same, whatever stands beside their frame.
    if (small !== NONE && small === smallTable(firstLow, firstHigh)) continue;
    const start = subject.windowStart + BigInt(half * 512 + index) * LARGE;
    if (compared.outside.some((area) => start >= area.start && start + LARGE <= area.end)) continue;
    compareLarge(memory, compared, [lo, hi], [firstLow, firstHigh], (page, here, there) => {
      const address = start + BigInt(page) * PAGE;
      if (!compared.outside.some((area) => contains(area, address))) each(address, node, here, there);
    });
  }
}

/** The same for 2 MiB, of which the entries differ. */
function compareLarge(
  memory: PhysMemory,
  { matters }: Compared,
  [lo, hi]: readonly [number, number],
  [firstLow, firstHigh]: readonly [number, number],
  each: (page: number, mine: WindowPage, first: WindowPage) => void,
): void {
  const [table, first] = [smallTable(lo, hi), smallTable(firstLow, firstHigh)];
  const areTables = table !== NONE && first !== NONE;
  const areLeaves = isPresent(lo) && isPresent(firstLow) && table === NONE && first === NONE;
  for (let page = 0; page < 512; page++) {
    if (areTables && (page = memory.nextDifference(table, first, page, 511)) === 512) break;
    const here = pageOf(memory, lo, hi, page);
    const there = pageOf(memory, firstLow, firstHigh, page);
    if (matters(here, there)) each(page, here, there);
    // The pages of two leaves differ all alike.
    else if (areLeaves) break;
  }
}

export const describeFlags = (flags: number): string =>
  !(flags & Flag.Present)
    ? "a hole"
    : `R${flags & Flag.Writable ? "W" : "-"}${flags & Flag.NoExecute ? "-" : "X"}${flags & Flag.Global ? " G" : ""}${flags & Flag.CacheDisable ? " PCD" : ""}${flags & Flag.WriteThrough ? " PWT" : ""}`;
