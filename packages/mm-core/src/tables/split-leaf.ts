/** A table of smaller leaves that says what a large leaf said: the one place where a leaf is divided. */
import { Bit, entryLow, type Frame, isPresent, leafFrame } from "@kreplica/hw-x86/api";
import { invertHigh, invertLow, renamedHigh } from "./protection.js";
import type { TableMemory } from "./table-memory-api.js";

/**
 * Fills a table. The caller links it in the leaf's place, and flushes.
 * @param lo @param hi the large leaf, present or made absent
 * @param level of the large leaf: 2 or 3
 */
export function writeSplit(entries: TableMemory, table: Frame, lo: number, hi: number, level: number): void {
  const absent = !isPresent(lo);
  if (absent) [lo, hi] = [invertLow(lo), invertHigh(hi)];
  const first = leafFrame(lo, hi, level);
  const size = level === 2 ? 1 : 512;
  // Small leaves have PAT where large ones have PS, and none in bit 12.
  const pat = (lo & Bit.PatLarge) === 0 ? 0 : level === 2 ? Bit.PatSmall : Bit.PatLarge;
  const bits = (lo & 0xfff & ~(level === 2 ? Bit.PageSize : 0)) | pat;
  for (let each = 0; each < 512; each++) {
    const low = entryLow(first + each * size, bits);
    const high = renamedHigh(first + each * size, hi);
    entries.write(table, each, absent ? invertLow(low) : low, absent ? invertHigh(high) : high);
  }
}
