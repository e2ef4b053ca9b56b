/**
 * Software walks of page tables to one address; a range is walked by the machine's walkTables. Reads the machine's own
 * bytes and nothing else.
 *
 *   level 5 PGD | 4 PGD or P4D | 3 PUD | 2 PMD | 1 PTE
 */
import {
  entryPages,
  type Frame,
  fromHalves,
  isLeaf,
  isPresent,
  frameOf,
  leafFrame,
  lowerIndex,
  lowerPage,
  type PhysMemory,
  upperIndex,
  upperPage,
} from "@kreplica/hw-x86/api";
import { mappingOf } from "./protection.js";
import type { Mapping } from "./kernel-tables-api.js";

/** Where a walk ended: a present leaf, or the entry that is not present. */
export interface WalkEnd {
  /** Level of the entry looked at last. */
  readonly level: number;
  readonly table: Frame;
  readonly index: number;
  readonly lo: number;
  readonly hi: number;
  readonly present: boolean;
}

/**
 * Walks to the entry that decides about an address.
 * @param levels of the root, or of any table on the way to the address to begin there
 * @param wanted level at which the walk ends at the latest, at a pointer to a lower table, too
 */
export function walk(memory: PhysMemory, root: Frame, levels: number, address: bigint, wanted = 1): WalkEnd {
  const upper = upperPage(address);
  const lower = lowerPage(address);
  let table = root;
  for (let level = levels; ; level--) {
    const index = level > 3 ? upperIndex(upper, level) : lowerIndex(lower, level);
    const lo = memory.read32(table, index * 2);
    const hi = memory.read32(table, index * 2 + 1);
    const present = isPresent(lo);
    if (!present || level <= wanted || isLeaf(lo, level)) return { level, table, index, lo, hi, present };
    table = frameOf(lo, hi);
  }
}

/** What the tables say about an address; undefined for a hole. */
export function lookup(memory: PhysMemory, root: Frame, levels: 4 | 5, address: bigint): Mapping | undefined {
  const end = walk(memory, root, levels, address);
  return end.present ? mappingOf(end.lo, end.hi, end.level as 1 | 2 | 3) : undefined;
}

/** The 4 KiB frame behind an address, or undefined. @param levels as of {@link walk} */
export function frameAt(memory: PhysMemory, root: Frame, levels: number, address: bigint): Frame | undefined {
  const end = walk(memory, root, levels, address);
  if (!end.present) return undefined;
  return leafFrame(end.lo, end.hi, end.level) + pageWithin(address, end.level);
}

/** Which of the 4 KiB pages of an entry of a level an address is in. */
export const pageWithin = (address: bigint, level: number): number =>
  Number((address >> 12n) & BigInt(entryPages(level) - 1));

/** A table of the level on the way to an address, or undefined where the way ends before. */
export function tableAt(
  memory: PhysMemory,
  root: Frame,
  levels: 4 | 5,
  address: bigint,
  wanted: number,
): Frame | undefined {
  const { level, table } = walk(memory, root, levels, address, wanted);
  return level === wanted ? table : undefined;
}

/** An entry as one number, for messages and dumps. */
export const entryValue = (lo: number, hi: number): bigint => fromHalves(lo, hi);
