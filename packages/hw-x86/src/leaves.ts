/**
 * Reader of a whole tree of tables: every leaf in address order, with the rights it has and those that remain through
 * its parents.
 */
import { Bit, NO_EXECUTE, frameOf, isLeaf, isPresent, leafFrame } from "./pte.js";
import type { Frame } from "./ids.js";
import type { PhysMemory } from "./memory-api.js";

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

/**
 * Every present leaf below a root, lowest index first. Reads the bytes only: sets no A, charges nothing.
 * @param root frame of the top table @param levels 4 or 5 @param entries which of the 512 top entries, `[first, last]`
 */
export function* leaves(
  memory: Pick<PhysMemory, "read32">,
  root: Frame,
  levels: 4 | 5,
  entries: readonly [number, number] = [0, 511],
): Generator<Leaf> {
  yield* below(memory, root, levels, levels, 0n, true, true, true, entries);
}

function* below(
  memory: Pick<PhysMemory, "read32">,
  table: Frame,
  level: number,
  levels: 4 | 5,
  base: bigint,
  writable: boolean,
  user: boolean,
  executable: boolean,
  [first, last]: readonly [number, number],
): Generator<Leaf> {
  const shift = BigInt(12 + 9 * (level - 1));
  for (let index = first; index <= last; index++) {
    const lo = memory.read32(table, index * 2);
    if (!isPresent(lo)) continue;
    const hi = memory.read32(table, index * 2 + 1);
    const address = base | (BigInt(index) << shift);
    const w = writable && (lo & Bit.Writable) !== 0;
    const u = user && (lo & Bit.User) !== 0;
    const x = executable && (hi & NO_EXECUTE) === 0;
    if (isLeaf(lo, level)) {
      yield {
        address: BigInt.asUintN(64, BigInt.asIntN(levels === 5 ? 57 : 48, address)),
        level,
        frame: leafFrame(lo, hi, level),
        lo,
        hi,
        writable: w,
        user: u,
        executable: x,
      };
    } else yield* below(memory, frameOf(lo, hi), level - 1, levels, address, w, u, x, [0, 511]);
  }
}
