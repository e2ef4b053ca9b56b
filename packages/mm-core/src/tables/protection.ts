/**
 * Between what a mapping says and the bits of its entry.
 *
 * Memory types by PAT index as Linux programs it (WB, WC, UC-, UC, WB, WP, UC-, WT), index = PAT * 4 + PCD * 2 + PWT.
 * Source: Intel SDM vol. 3A, "Page Attribute Table (PAT)"; Documentation/arch/x86/pat.rst.
 */
import { Bit, entryHigh, entryLow, type Frame, isPresent, leafFrame, NO_EXECUTE } from "@kreplica/hw-x86/api";
import type { Mapping, Protection } from "./kernel-tables-api.js";
import { SHARED_HIGH } from "./table-memory-api.js";

/**
 * Pointers to lower tables: P, W, U, A, D (_PAGE_TABLE) where a mapping is made; without U where a large leaf was split
 * (_KERNPG_TABLE).
 */
export const TABLE_BITS = 0x067;
/** Low bits of an entry that leads to a table of the kernel's: present, writable, accessed, dirty. */
export const KERNEL_TABLE_BITS = 0x063;

const CACHE_INDEX = { wb: 0, wc: 1, "uc-": 2, uc: 3, wt: 7 } as const;
const CACHE_NAMES = ["wb", "wc", "uc-", "uc", "wb", "wt", "uc-", "wt"] as const;

/** Plain kernel data: RW, NX, global. */
export const KERNEL_DATA: Protection = {
  writable: true,
  executable: false,
  global: true,
  user: false,
  present: true,
  cache: "wb",
};

/**
 * Low bits of a leaf, frame left out; accessed and dirty are set, as Linux sets them in kernel leaves.
 * @param level 1 to 3
 */
export function leafBits(protection: Protection, level: number): number {
  const pat = CACHE_INDEX[protection.cache];
  return (
    (protection.present ? Bit.Present : 0) |
    (protection.writable ? Bit.Writable : 0) |
    (protection.user ? Bit.User : 0) |
    (protection.global ? Bit.Global : 0) |
    (pat & 1 ? Bit.WriteThrough : 0) |
    (pat & 2 ? Bit.CacheDisable : 0) |
    (pat & 4 ? (level === 1 ? Bit.PatSmall : Bit.PatLarge) : 0) |
    (level > 1 ? Bit.PageSize : 0) |
    Bit.Accessed |
    Bit.Dirty
  );
}

/** What a leaf says, or one that was made absent and keeps its bits. @param hi as TableMemory has it */
export function mappingOf(lo: number, hi: number, level: 1 | 2 | 3): Mapping {
  if (!isPresent(lo)) [lo, hi] = [invertLow(lo), invertHigh(hi)];
  const pat =
    (lo & Bit.WriteThrough ? 1 : 0) |
    (lo & Bit.CacheDisable ? 2 : 0) |
    (lo & (level === 1 ? Bit.PatSmall : Bit.PatLarge) ? 4 : 0);
  return {
    frame: leafFrame(lo, hi, level),
    level,
    present: isPresent(lo),
    writable: (lo & Bit.Writable) !== 0,
    user: (lo & Bit.User) !== 0,
    global: (lo & Bit.Global) !== 0,
    executable: (hi & NO_EXECUTE) === 0,
    cache: CACHE_NAMES[pat]!,
    ...((hi & SHARED_HIGH) === 0 ? {} : { encrypted: false }),
  };
}

/**
 * Low half of the leaf after a change. Accessed and dirty stay. A leaf that becomes absent loses G, as set_memory_np
 * does.
 */
export function changedLow(lo: number, level: number, change: Partial<Protection>): number {
  const set = (bit: number, on: boolean | undefined): void => {
    if (on !== undefined) lo = on ? lo | bit : lo & ~bit;
  };
  set(Bit.Present, change.present);
  set(Bit.Writable, change.writable);
  set(Bit.User, change.user);
  set(Bit.Global, change.present === false ? false : change.global);
  if (change.cache !== undefined) {
    const pat = CACHE_INDEX[change.cache];
    set(Bit.WriteThrough, (pat & 1) !== 0);
    set(Bit.CacheDisable, (pat & 2) !== 0);
    set(level === 1 ? Bit.PatSmall : Bit.PatLarge, (pat & 4) !== 0);
  }
  return lo >>> 0;
}

export function changedHigh(hi: number, { executable, encrypted }: Partial<Protection>): number {
  if (executable !== undefined) hi = executable ? hi & ~NO_EXECUTE : hi | NO_EXECUTE;
  if (encrypted !== undefined) hi = encrypted ? hi & ~SHARED_HIGH : hi | SHARED_HIGH;
  return hi >>> 0;
}

/** The high half of a leaf that says the same of another frame. @param hi as TableMemory has it, not inverted */
export const renamedHigh = (frame: Frame, hi: number): number =>
  (entryHigh(frame, (hi & NO_EXECUTE) !== 0) | (hi & SHARED_HIGH)) >>> 0;

/**
 * Frame bits of a leaf that is not present are stored inverted, so that a CPU that speculates on them reads nothing
 * cached.
 * @source Documentation/admin-guide/hw-vuln/l1tf.rst, "PTE inversion"
 */
export const invertLow = (lo: number): number => (lo ^ 0xffff_f000) >>> 0;
export const invertHigh = (hi: number): number => (hi ^ 0x000f_ffff) >>> 0;

/** A leaf entry as halves; an absent one keeps its bits. */
export function leafEntry(mapping: Mapping): { readonly lo: number; readonly hi: number } {
  const lo = entryLow(mapping.frame, leafBits(mapping, mapping.level));
  const hi = (entryHigh(mapping.frame, !mapping.executable) | (mapping.encrypted === false ? SHARED_HIGH : 0)) >>> 0;
  return mapping.present ? { lo, hi } : { lo: invertLow(lo), hi: invertHigh(hi) };
}
