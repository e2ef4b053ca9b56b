/**
 * The direct map's view of a holder's copies: read-only, like the copy itself.
 *
 * The series does this for text only, as a side effect of set_memory_ro walking each replica's table, and leaves rodata
 * copies writable through their alias (defect D9).
 */
import { Bit, entryHigh, entryLow, entryPages, type Frame, isPresent, leafFrame } from "@kreplica/hw-x86/api";
import { type BuildContext, directAddress, KERNEL_TABLE_BITS, walk, writeSplit } from "@kreplica/mm-core/api";

/** Frames in a row: a copy. */
export interface FrameRun {
  readonly first: Frame;
  readonly frames: number;
}

/** An entry of the direct map over a run, present or not, that points to no lower table. */
interface AliasLeaf {
  readonly table: Frame;
  readonly index: number;
  readonly lo: number;
  readonly hi: number;
  readonly level: number;
  readonly first: Frame;
  readonly frames: number;
}

/** The entry over a frame, by the tables all roots share. */
function aliasOf({ entries, layout }: BuildContext, root: Frame, frame: Frame): AliasLeaf {
  const { table, index, lo, level, present } = walk(entries.memory, root, layout.levels, directAddress(layout, frame));
  const hi = entries.high(table, index);
  return present
    ? { table, index, lo, hi, level, first: leafFrame(lo, hi, level), frames: entryPages(level) }
    : { table, index, lo, hi, level, first: frame, frames: 1 };
}

const isWritableLeaf = ({ lo }: AliasLeaf): boolean => isPresent(lo) && (lo & Bit.Writable) !== 0;

/**
 * Table pages {@link protectAlias} will take from `make`.
 * @param divided leaves that will be split before, by level and first frame; those of this run are added
 */
export function countAliasTables(context: BuildContext, root: Frame, run: FrameRun, divided: Set<string>): number {
  const end = run.first + run.frames;
  let count = 0;
  /** A leaf, there now or made by a split, that the run meets. */
  const visit = (level: number, first: Frame): void => {
    const frames = entryPages(level);
    if (first >= run.first && first + frames <= end) return;
    const name = `${level}/${first}`;
    if (!divided.has(name)) count++;
    divided.add(name);
    if (level === 2) return;
    for (let lower = first; lower < first + frames; lower += 512)
      if (lower + 512 > run.first && lower < end) visit(2, lower);
  };
  for (let frame = run.first; frame < end;) {
    const leaf = aliasOf(context, root, frame);
    if (isWritableLeaf(leaf)) visit(leaf.level, leaf.first);
    frame = leaf.first + leaf.frames;
  }
  return count;
}

/**
 * Takes W from the direct-map leaves of a run, splitting what it covers in part. All roots share these tables.
 * @param make gives table pages: as many as {@link countAliasTables} says
 */
export function protectAlias(context: BuildContext, root: Frame, run: FrameRun, make: () => Frame): void {
  const { entries } = context;
  const end = run.first + run.frames;
  for (let frame = run.first; frame < end;) {
    const leaf = aliasOf(context, root, frame);
    const { table, index, lo, hi, level, first, frames } = leaf;
    if (isWritableLeaf(leaf) && !(first >= run.first && first + frames <= end)) {
      const lower = make();
      writeSplit(entries, lower, lo, hi, level);
      entries.write(table, index, entryLow(lower, KERNEL_TABLE_BITS), entryHigh(lower, false));
      continue;
    }
    if (isWritableLeaf(leaf)) entries.write(table, index, (lo & ~Bit.Writable) >>> 0, hi);
    frame = first + frames;
  }
}
