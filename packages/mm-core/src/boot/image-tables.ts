/**
 * The boot table and the image's part of it, as head_64.S and early setup leave them: tables in the image's own data, 2
 * MiB leaves over the image, fixmap below the top.
 *
 * Source: Linux 6.5 arch/x86/kernel/head_64.S and head64.c as far as their effect on tables goes; checked against
 * recorded tables.
 */
import {
  frameOfAddress,
  Bit,
  entryHigh,
  entryLow,
  type Frame,
  LARGE,
  PAGE,
  PAGE_BYTES,
  tableIndex,
} from "@kreplica/hw-x86/api";
import type { BuildContext } from "./build-context-api.js";
import { bootRoot, symbolFrame } from "./early-map.js";
import { imageAddress } from "../image/layout.js";
import { KERNEL_TABLE_BITS, TABLE_BITS } from "../tables/protection.js";
import { SHARED_HIGH } from "../tables/table-memory-api.js";

/** RWX, global, 2 MiB: everything the image has until mark_rodata_ro. */
const IMAGE_LEAF = Bit.Present | Bit.Writable | Bit.Accessed | Bit.Dirty | Bit.PageSize | Bit.Global;

/**
 * Puts the image's bytes where it was loaded; memory that can wait is told where they are to be had. Pages of data, bss
 * and brk stay zero: the model keeps no kernel variables.
 */
export function loadImage(context: BuildContext): number {
  const { image, layout, machine } = context;
  const { memory } = machine;
  const page = new Uint8Array(PAGE_BYTES);
  let pages = 0;
  for (const [start, end] of [
    [image.stext, image.etext],
    [image.startRodata, image.endRodata],
  ] as const) {
    const count = Number((end - start + PAGE - 1n) / PAGE);
    const first = layout.imagePhysical + (start - image.stext);
    const at = (nth: number): bigint => start + BigInt(nth) * PAGE;
    pages += count;
    if (memory.defer && first % PAGE === 0n) {
      memory.defer(Number(first / PAGE), count, (nth, into) => {
        image.readPage(at(nth), into);
      });
      continue;
    }
    for (let nth = 0; nth < count; nth++) {
      image.readPage(at(nth), page);
      memory.writeBytes(first + BigInt(nth) * PAGE, page);
    }
  }
  return pages;
}

/** Fills init_top_pgt's slot 511 and what hangs below it. @returns the boot table */
export function buildImageTables(context: BuildContext): Frame {
  const { entries, layout, image } = context;
  const root = bootRoot(layout, image);
  const at = (name: string, page = 0): Frame => symbolFrame(layout, image, name) + page;
  const point = (table: Frame, index: number, lower: Frame, bits: number): void =>
    entries.write(table, index, entryLow(lower, bits), entryHigh(lower, false));

  const level3 = at("level3_kernel_pgt");
  if (layout.levels === 5) {
    point(root, 511, at("level4_kernel_pgt"), TABLE_BITS);
    point(at("level4_kernel_pgt"), 511, level3, TABLE_BITS);
  } else point(root, 511, level3, TABLE_BITS);
  const level2 = at("level2_kernel_pgt");
  point(level3, 510, level2, KERNEL_TABLE_BITS);
  const fixmap = at("level2_fixmap_pgt");
  point(level3, 511, fixmap, TABLE_BITS);

  const end = imageAddress(layout, image.end);
  for (
    let address = imageAddress(layout, image.stext), frame = frameOfAddress(layout.imagePhysical);
    address < end;
    address += LARGE, frame += 512
  ) {
    entries.write(level2, tableIndex(address, 2), entryLow(frame, IMAGE_LEAF), entryHigh(frame, false));
  }
  // Early ioremap below, then the two pages of fixmap proper with the interrupt controllers' registers.
  point(fixmap, 505, at("bm_pte"), TABLE_BITS);
  point(fixmap, 506, at("level1_fixmap_pgt"), TABLE_BITS);
  point(fixmap, 507, at("level1_fixmap_pgt", 1), TABLE_BITS);
  const device =
    Bit.Present |
    Bit.Writable |
    Bit.WriteThrough |
    Bit.CacheDisable |
    Bit.Accessed |
    Bit.Dirty |
    (layout.pti ? 0 : Bit.Global);
  // No memory is behind them that could be encrypted.
  entries.write(at("level1_fixmap_pgt"), 508, entryLow(0xfec00, device), entryHigh(0xfec00, true) | SHARED_HIGH);
  entries.write(at("level1_fixmap_pgt"), 509, entryLow(0xfee00, device), entryHigh(0xfee00, true) | SHARED_HIGH);
  return root;
}
