/**
 * Makes one holder's leaves over a part of the image name the holder's own frames, protection kept.
 *
 * A 2 MiB leaf that is copied as a whole is repointed whole. One that is copied in part is replaced by a PTE page of
 * the holder's own, whose other leaves go on naming the booted frames; a PTE page still shared with the boot table is
 * made the holder's own first.
 */
import {
  Bit,
  entryAddress,
  entryHigh,
  entryLow,
  type Frame,
  frameOf,
  hex,
  isLeaf,
  isPresent,
  LARGE_PAGES,
  NO_EXECUTE,
  walkTables,
} from "@kreplica/hw-x86/api";
import {
  invariant,
  KERNEL_TABLE_BITS,
  renamedHigh,
  tableAt,
  type TableMemory,
  writeSplit,
} from "@kreplica/mm-core/api";
import { type CopiedPart, isCopiedBelow, isLargeCopy } from "./placement.js";

/** Table pages {@link repointPart} will take from `make`. */
export function countPartTables(
  entries: TableMemory,
  levels: 4 | 5,
  root: Frame,
  bootTable: Frame,
  part: CopiedPart,
): number {
  let count = 0;
  eachLarge(entries, levels, root, part, ({ address, page, lo, hi }) => {
    if (isLeaf(lo, 2) ? !isLargeCopy(part, page) : isShared(entries, levels, bootTable, address, frameOf(lo, hi)))
      count++;
  });
  return count;
}

/** A present PMD entry over a part. */
interface LargeEntry {
  readonly pmd: Frame;
  readonly index: number;
  readonly address: bigint;
  /** Where it begins within the part. */
  readonly page: number;
  readonly lo: number;
  readonly hi: number;
}

/** Visits the present PMD entries over what is copied of a part. */
function eachLarge(
  entries: TableMemory,
  levels: 4 | 5,
  root: Frame,
  part: CopiedPart,
  visit: (entry: LargeEntry) => void,
): void {
  walkTables<Frame>(levels, part, root, (table, level, index, base) => {
    const address = entryAddress(base, level, index);
    const lo = entries.low(table, index);
    const hi = entries.high(table, index);
    if (level > 2) {
      invariant(isPresent(lo) && !isLeaf(lo, level), `no PMD page for ${hex(address)}`);
      return frameOf(lo, hi);
    }
    const page = Number((address - part.start) >> 12n);
    if (isPresent(lo) && isCopiedBelow(part, page)) visit({ pmd: table, index, address, page, lo, hi });
    return undefined;
  });
}

/**
 * @patch 03/12 mm/numa_replication.c replicate_kernel_text_pmd, replicate_kernel_rodata_pmd
 * @param make gives table pages on the holder's node: as many as {@link countPartTables} says
 */
export function repointPart(
  entries: TableMemory,
  levels: 4 | 5,
  root: Frame,
  bootTable: Frame,
  part: CopiedPart,
  copy: Frame,
  make: () => Frame,
): void {
  eachLarge(entries, levels, root, part, ({ pmd, index, address, page, lo, hi }) => {
    const { places } = part;
    if (isLeaf(lo, 2) && isLargeCopy(part, page)) {
      const frame = copy + places[page]!;
      entries.write(pmd, index, entryLow(frame, lo & (0xfff | Bit.PatLarge)), renamedHigh(frame, hi));
      return;
    }
    const small = isLeaf(lo, 2) ? make() : ownPage(entries, levels, bootTable, address, frameOf(lo, hi), make);
    if (isLeaf(lo, 2)) writeSplit(entries, small, lo, hi, 2);
    for (let each = 0; each < Math.min(LARGE_PAGES, part.pages - page); each++) {
      const leaf = entries.low(small, each);
      const place = places[page + each]!;
      if (!isPresent(leaf) || place === -1) continue;
      entries.write(
        small,
        each,
        entryLow(copy + place, leaf & 0xfff),
        renamedHigh(copy + place, entries.high(small, each)),
      );
    }
    if (isLeaf(lo, 2)) entries.write(pmd, index, entryLow(small, KERNEL_TABLE_BITS), entryHigh(small, false));
    else if (small !== frameOf(lo, hi))
      entries.write(pmd, index, entryLow(small, lo & 0xfff), (entryHigh(small, false) | (hi & NO_EXECUTE)) >>> 0);
  });
}

/** Whether the boot table uses a PTE page too. */
const isShared = (entries: TableMemory, levels: 4 | 5, bootTable: Frame, address: bigint, page: Frame): boolean =>
  tableAt(entries.memory, bootTable, levels, address, 1) === page;

/** The PTE page, or a copy of it when the boot table uses the same. */
function ownPage(
  entries: TableMemory,
  levels: 4 | 5,
  bootTable: Frame,
  address: bigint,
  page: Frame,
  make: () => Frame,
): Frame {
  if (!isShared(entries, levels, bootTable, address, page)) return page;
  const own = make();
  entries.copy(page, own, 0, 512);
  return own;
}
