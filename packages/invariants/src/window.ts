/** Compares what holders map in the replicated window, page by page, where their tables differ. */
import {
  type AddressRange,
  contains,
  frameOf,
  isLeaf,
  isPresent,
  LARGE,
  leafFrame,
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
export function compareWindow(
  subject: Subject,
  { matters, outside }: Compared,
  each: (address: bigint, node: number, mine: WindowPage, first: WindowPage) => void,
): void {
  const { memory } = subject.kernel.entries;
  const theirs = subject.window(subject.root(subject.holders[0]!));
  for (const node of subject.holders.slice(1)) {
    const mine = subject.window(subject.root(node));
    for (let slot = 0; slot < 1024; slot++) {
      const [lo, hi, firstLow, firstHigh] = [mine.lo[slot]!, mine.hi[slot]!, theirs.lo[slot]!, theirs.hi[slot]!];
      if (!isPresent(lo) && !isPresent(firstLow)) continue;
      const table = smallTable(mine, slot);
      const first = smallTable(theirs, slot);
      // Equal leaves and common tables say the same.
      if (table !== -1 ? table === first : lo === firstLow && hi === firstHigh) continue;
      const start = subject.windowStart + BigInt(slot) * LARGE;
      if (outside.some((area) => start >= area.start && start + LARGE <= area.end)) continue;
      const areTables = table !== -1 && first !== -1;
      const areLeaves = isPresent(lo) && isPresent(firstLow) && table === -1 && first === -1;
      for (let page = 0; page < 512; page++) {
        if (areTables && (page = memory.nextDifference(table, first, page, 511)) === 512) break;
        const here = pageOf(memory, lo, hi, page);
        const there = pageOf(memory, firstLow, firstHigh, page);
        if (!matters(here, there)) {
          // The pages of two leaves differ all alike.
          if (areLeaves) break;
          continue;
        }
        const address = start + BigInt(page) * PAGE;
        if (!outside.some((area) => contains(area, address))) each(address, node, here, there);
      }
    }
  }
}

export const describeFlags = (flags: number): string =>
  !(flags & Flag.Present)
    ? "a hole"
    : `R${flags & Flag.Writable ? "W" : "-"}${flags & Flag.NoExecute ? "-" : "X"}${flags & Flag.Global ? " G" : ""}${flags & Flag.CacheDisable ? " PCD" : ""}${flags & Flag.WriteThrough ? " PWT" : ""}`;
