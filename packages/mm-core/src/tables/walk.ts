/**
 * Software walks of page tables: one address, or every leaf of a range. Reads the machine's own bytes and nothing else.
 *
 *   level 5 PGD | 4 PGD or P4D | 3 PUD | 2 PMD | 1 PTE
 */
import {
  type Frame,
  fromHalves,
  isLeaf,
  isPresent,
  frameOf,
  leafFrame,
  type PhysMemory,
  tableIndex,
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

/** Walks to the entry that decides about an address. */
export function walk(memory: PhysMemory, root: Frame, levels: 4 | 5, address: bigint): WalkEnd {
  let table = root;
  for (let level: number = levels; ; level--) {
    const index = tableIndex(address, level);
    const lo = memory.read32(table, index * 2);
    const hi = memory.read32(table, index * 2 + 1);
    const present = isPresent(lo);
    if (!present || isLeaf(lo, level)) return { level, table, index, lo, hi, present };
    table = frameOf(lo, hi);
  }
}

/** What the tables say about an address; undefined for a hole. */
export function lookup(memory: PhysMemory, root: Frame, levels: 4 | 5, address: bigint): Mapping | undefined {
  const end = walk(memory, root, levels, address);
  return end.present ? mappingOf(end.lo, end.hi, end.level as 1 | 2 | 3) : undefined;
}

/** The 4 KiB frame behind an address, or undefined. */
export function frameAt(memory: PhysMemory, root: Frame, levels: 4 | 5, address: bigint): Frame | undefined {
  const end = walk(memory, root, levels, address);
  if (!end.present) return undefined;
  const within = (address >> 12n) & ((1n << BigInt(9 * (end.level - 1))) - 1n);
  return leafFrame(end.lo, end.hi, end.level) + Number(within);
}

/** A table of the level on the way to an address, or undefined where the way ends before. */
export function tableAt(
  memory: PhysMemory,
  root: Frame,
  levels: 4 | 5,
  address: bigint,
  wanted: number,
): Frame | undefined {
  let table = root;
  for (let level: number = levels; level > wanted; level--) {
    const index = tableIndex(address, level);
    const lo = memory.read32(table, index * 2);
    if (!isPresent(lo) || isLeaf(lo, level)) return undefined;
    table = frameOf(lo, memory.read32(table, index * 2 + 1));
  }
  return table;
}

/** Told of each thing a range walk meets, in address order. Return false from `table` to pass over what lies below. */
export interface RangeVisitor {
  /** A present entry that ends the walk. @param address first byte it maps, canonical */
  leaf?(address: bigint, level: 1 | 2 | 3, lo: number, hi: number, table: Frame, index: number): void;
  /** A pointer to a lower table. @param level of the entry */
  table?(
    address: bigint,
    level: number,
    lower: Frame,
    table: Frame,
    index: number,
    lo: number,
    hi: number,
  ): boolean | void;
}

/** Visits [start, end] of a root. @param end last byte, so that the top of the address space can be named */
export function walkRange(
  memory: PhysMemory,
  root: Frame,
  levels: 4 | 5,
  start: bigint,
  end: bigint,
  visitor: RangeVisitor,
): void {
  const sign = levels === 5 ? 57 : 48;
  const below = (table: Frame, level: number, base: bigint): void => {
    const step = 1n << BigInt(12 + 9 * (level - 1));
    for (let index = 0; index < 512; index++) {
      const lo = memory.read32(table, index * 2);
      if (!isPresent(lo)) continue;
      const raw = base + BigInt(index) * step;
      const address = BigInt.asUintN(64, BigInt.asIntN(sign, raw));
      if (address + step - 1n < start || address > end) continue;
      const hi = memory.read32(table, index * 2 + 1);
      if (isLeaf(lo, level)) visitor.leaf?.(address, level as 1 | 2 | 3, lo, hi, table, index);
      else if (visitor.table?.(address, level, frameOf(lo, hi), table, index, lo, hi) !== false)
        below(frameOf(lo, hi), level - 1, raw);
    }
  };
  below(root, levels, 0n);
}

/** An entry as one number, for messages and dumps. */
export const entryValue = (lo: number, hi: number): bigint => fromHalves(lo, hi);
