/**
 * Reader of a whole tree of tables: every leaf in address order, with the rights it has and those that remain through
 * its parents.
 */
import { frameOf, isExecutable, isLeaf, isPresent, isUser, isWritable, leafFrame } from "./pte.js";
import type { Frame } from "./ids.js";
import type { PhysMemory } from "./memory-api.js";
import { entryAddress, slotRange, walkTables } from "./table-walk.js";

/** One present leaf. */
export interface Leaf {
  /** Canonical linear address, 0 to 2^64 - 1. */
  readonly address: bigint;
  /** 1 is 4 KiB, 2 is 2 MiB, 3 is 1 GiB. */
  readonly level: number;
  /** First frame of the page. */
  readonly frame: Frame;
  /** The leaf entry itself, as halves, unsigned. */
  readonly lo: number;
  readonly hi: number;
  /** What an access is checked against: every level on the way allows it. */
  readonly writable: boolean;
  readonly user: boolean;
  readonly executable: boolean;
}

/** A table, and what all entries above it allow. */
interface Reached {
  readonly table: Frame;
  readonly writable: boolean;
  readonly user: boolean;
  readonly executable: boolean;
}

/**
 * Every present leaf below a root, lowest index first. Reads the bytes only: sets no A, charges nothing.
 * @param root frame of the top table @param levels 4 or 5 @param entries which of the 512 top entries, `[first, last]`
 */
export function leaves(
  memory: Pick<PhysMemory, "read32">,
  root: Frame,
  levels: 4 | 5,
  [first, last]: readonly [number, number] = [0, 511],
): Leaf[] {
  const found: Leaf[] = [];
  const top = { table: root, writable: true, user: true, executable: true };
  walkTables<Reached>(levels, slotRange(levels, first, last), top, (above, level, index, base) => {
    const lo = memory.read32(above.table, index * 2);
    if (!isPresent(lo)) return undefined;
    const hi = memory.read32(above.table, index * 2 + 1);
    const writable = above.writable && isWritable(lo);
    const user = above.user && isUser(lo);
    const executable = above.executable && isExecutable(hi);
    if (!isLeaf(lo, level)) return { table: frameOf(lo, hi), writable, user, executable };
    const address = entryAddress(base, level, index);
    found.push({ address, level, frame: leafFrame(lo, hi, level), lo, hi, writable, user, executable });
    return undefined;
  });
  return found;
}
