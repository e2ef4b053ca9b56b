/**
 * Makes one holder's leaves over a part of the image name the holder's own frames, protection kept.
 *
 * A 2 MiB leaf the part fills is repointed whole. One it fills in part is replaced by a PTE page of the holder's own, whose leaves
 * beyond the part go on naming the booted frames; a PTE page still shared with the boot table is made the holder's own first.
 */
import { Bit, entryHigh, entryLow, type Frame, frameOf, isLeaf, isPresent, leafFrame, NO_EXECUTE, tableIndex } from "@kreplica/hw-x86/api";
import { invariant, tableAt, type TableMemory } from "@kreplica/mm-core/api";
import { type CopiedPart, LARGE_PAGES } from "./placement.js";

const KERNEL_TABLE = 0x063;

/**
 * @patch 03/12 mm/numa_replication.c replicate_kernel_text_pmd, replicate_kernel_rodata_pmd
 * @param make gives table pages on the holder's node
 */
export function repointPart(entries: TableMemory, levels: 4 | 5, root: Frame, bootTable: Frame, part: CopiedPart, copy: Frame, make: () => Frame): void {
  for (let page = 0; page < part.pages; page += LARGE_PAGES) {
    const address = part.start + BigInt(page) * 4096n;
    const index = tableIndex(address, 2);
    const pmd = tableAt(entries.memory, root, levels, address, 2);
    invariant(pmd !== undefined, `no PMD page for 0x${address.toString(16)}`);
    const lo = entries.low(pmd, index);
    const hi = entries.high(pmd, index);
    if (!isPresent(lo)) continue;
    const here = Math.min(LARGE_PAGES, part.pages - page);
    if (isLeaf(lo, 2) && here === LARGE_PAGES) {
      entries.write(pmd, index, entryLow(copy + page, lo & (0xfff | Bit.PatLarge)), entryHigh(copy + page, (hi & NO_EXECUTE) !== 0), true);
      continue;
    }
    const small = isLeaf(lo, 2) ? splitLeaf(entries, lo, hi, make()) : ownPage(entries, levels, bootTable, address, frameOf(lo, hi), make);
    for (let each = 0; each < here; each++) {
      const leaf = entries.low(small, each);
      if (!isPresent(leaf)) continue;
      entries.write(small, each, entryLow(copy + page + each, leaf & 0xfff), entryHigh(copy + page + each, (entries.high(small, each) & NO_EXECUTE) !== 0), true);
    }
    if (isLeaf(lo, 2)) entries.write(pmd, index, entryLow(small, KERNEL_TABLE), entryHigh(small, false), true);
    else if (small !== frameOf(lo, hi)) entries.write(pmd, index, entryLow(small, lo & 0xfff), (entryHigh(small, false) | (hi & NO_EXECUTE)) >>> 0, true);
  }
}

/** A PTE page that says what a 2 MiB leaf said. */
function splitLeaf(entries: TableMemory, lo: number, hi: number, page: Frame): Frame {
  const first = leafFrame(lo, hi, 2);
  const bits = (lo & 0xfff & ~Bit.PageSize) | (lo & Bit.PatLarge ? Bit.PatSmall : 0);
  for (let each = 0; each < 512; each++) entries.write(page, each, entryLow(first + each, bits), entryHigh(first + each, (hi & NO_EXECUTE) !== 0), true);
  return page;
}

/** The PTE page, or a copy of it when the boot table uses the same. */
function ownPage(entries: TableMemory, levels: 4 | 5, bootTable: Frame, address: bigint, page: Frame, make: () => Frame): Frame {
  if (tableAt(entries.memory, bootTable, levels, address, 1) !== page) return page;
  const own = make();
  entries.copy(page, own, 0, 512, true);
  return own;
}
