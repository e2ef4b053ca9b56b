/**
 * Joins small leaves: 512 PTEs into a 2 MiB leaf, 512 of these into a 1 GiB leaf, where all agree and continue one
 * another.
 *
 * The large leaf replaces the pointer, translations and paging-structure caches are flushed, and only then is the table
 * given back: a CPU that still walked the old table would read whatever its frame becomes next. Under KPTI user mode
 * walks it through the other half of each pair, which gets the large leaf too, as it got the pointer.
 */
import {
  Bit,
  endOf,
  entryBytes,
  entryLow,
  type Frame,
  frameOf,
  isLeaf,
  isPresent,
  NO_EXECUTE,
  type PageRange,
  walkRange,
} from "@kreplica/hw-x86/api";
import {
  type KernelLayout,
  type KernelTables,
  type PageAllocator,
  renamedHigh,
  type ReplicaView,
  rootsOfBothHalves,
  SHARED_HIGH,
  type TableMemory,
} from "@kreplica/mm-core/api";
import type { JoinResult } from "./api.js";

/** Accessed and dirty say nothing about a kernel leaf: leaves that differ only there agree. */
const IGNORED = Bit.Accessed | Bit.Dirty;

interface Candidate {
  readonly table: Frame;
  readonly index: number;
  readonly lower: Frame;
  readonly lo: number;
  readonly hi: number;
}

/** The last 512 GiB: EFI's tables have a copy of the kernel's PUD entries there, which nobody would change along. */
const LAST_SLOT = 0xffff_ff80_0000_0000n;

export function joinLeaves(
  tables: KernelTables,
  entries: TableMemory,
  view: ReplicaView,
  allocator: PageAllocator,
  { levels, pti }: Pick<KernelLayout, "levels" | "pti">,
  range: PageRange,
): JoinResult {
  const { start } = range;
  const end = endOf(range);
  let joined = 0;
  const retired = new Set<Frame>();
  for (const level of [2, 3] as const) {
    const found = new Map<string, Candidate>();
    for (const root of rootsOfBothHalves(view.roots, pti)) {
      walkRange(entries.memory, root, levels, range, {
        table(address, at, lower, table, index) {
          if (at !== level) return true;
          const size = entryBytes(level);
          // Only what lies in the range as a whole: the caller owns no more.
          if (address < start || address + size > end || (level === 3 && address >= LAST_SLOT)) return false;
          const name = `${table}/${index}`;
          const leaf = found.has(name) ? undefined : uniform(entries, lower, level);
          if (leaf) found.set(name, { table, index, lower, ...leaf });
          return false;
        },
      });
    }
    for (const { table, index, lower, lo, hi } of found.values()) {
      entries.write(table, index, lo, hi);
      retired.add(lower);
      joined++;
    }
  }
  if (joined === 0) return { joined, freed: 0 };
  tables.flush(range);
  let freed = 0;
  for (const frame of retired) {
    // Tables of early boot and of the replicas' rooms were never the allocator's to take back.
    if (!allocator.owns(frame, 0)) continue;
    entries.disown(frame);
    allocator.free(frame, 0);
    freed++;
  }
  return { joined, freed };
}

/** The large leaf that says what 512 entries of a table say, or undefined. @param level of the large leaf */
function uniform(
  entries: TableMemory,
  table: Frame,
  level: 2 | 3,
): { readonly lo: number; readonly hi: number } | undefined {
  const lo = entries.low(table, 0);
  const hi = entries.high(table, 0);
  if (!isPresent(lo) || !isLeaf(lo, level - 1)) return undefined;
  const step = level === 2 ? 1 : 512;
  const first = frameOf(lo & ~(level === 3 ? Bit.PatLarge : 0), hi);
  if (first % (step * 512) !== 0) return undefined;
  const flags = level === 3 ? lo & 0x1fff : lo & 0xfff;
  for (let index = 1; index < 512; index++) {
    const nextLo = entries.low(table, index);
    const nextHi = entries.high(table, index);
    if (
      ((nextLo ^ flags) & (level === 3 ? 0x1fff : 0xfff) & ~IGNORED) !== 0 ||
      ((nextHi ^ hi) & (NO_EXECUTE | SHARED_HIGH)) !== 0
    )
      return undefined;
    if (frameOf(nextLo & ~(level === 3 ? Bit.PatLarge : 0), nextHi) !== first + index * step) return undefined;
  }
  const pat = level === 2 ? (flags & Bit.PatSmall) !== 0 : (flags & Bit.PatLarge) !== 0;
  const bits = (flags & 0xfff & ~Bit.PatSmall) | Bit.PageSize | IGNORED | (pat ? Bit.PatLarge : 0);
  return { lo: entryLow(first, bits), hi: renamedHigh(first, hi) };
}
