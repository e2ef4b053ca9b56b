/**
 * Leaves installed while the kernel builds its first tables: one root, nothing to flush, a missing table page is the
 * end of the boot.
 */
import {
  entryHigh,
  entryLow,
  type Frame,
  frameOf,
  hex,
  isLeaf,
  isPresent,
  type NodeId,
  NONE,
  tableIndex,
} from "@kreplica/hw-x86/api";
import type { BuildContext } from "./build-context-api.js";
import { invariant, MmError } from "../errors.js";
import { imageFrame } from "../image/layout.js";
import type { KernelImage } from "../image/kernel-image-api.js";
import type { KernelLayout } from "../image/kernel-layout-api.js";
import type { Mapping } from "../tables/kernel-tables-api.js";
import { leafEntry, TABLE_BITS } from "../tables/protection.js";

/** Frame of the boot table, init_top_pgt: a page of the image's own data. The next frame is its user half. */
export function bootRoot(layout: KernelLayout, image: KernelImage): Frame {
  return symbolFrame(layout, image, "init_top_pgt");
}

/** Frame of a page-aligned symbol of the booted image. @throws MmError bad-image when the image has no such symbol */
export function symbolFrame(layout: KernelLayout, image: KernelImage, name: string): Frame {
  const address = image.symbol(name);
  if (address === undefined)
    throw new MmError("bad-image", 0n, `${image.name} has no symbol ${name}, in which the first page tables lie`);
  return imageFrame(layout, image.stext, address);
}

/** A zeroed table page. @throws MmError out-of-frames */
export function newTable(context: BuildContext, node: NodeId): Frame {
  const frame = context.allocator.allocate(node, 0, { purpose: "page-table", zero: true });
  if (frame === NONE) throw new MmError("out-of-frames", 0n, `no page for a table on node ${node} while booting`);
  return frame;
}

/**
 * The table of a level on the way to an address, made with all above it where it is missing.
 * @param make source of table pages
 */
export function reach(
  context: BuildContext,
  root: Frame,
  address: bigint,
  wanted: number,
  make: () => Frame,
  bits = TABLE_BITS,
): Frame {
  let table = root;
  for (let level: number = context.layout.levels; level > wanted; level--) {
    const index = tableIndex(address, level);
    const lo = context.entries.low(table, index);
    if (isPresent(lo)) {
      invariant(!isLeaf(lo, level), `${hex(address)} is covered by a leaf of level ${level}`);
      table = frameOf(lo, context.entries.high(table, index));
      continue;
    }
    const lower = make();
    context.entries.write(table, index, entryLow(lower, bits), entryHigh(lower, false));
    table = lower;
  }
  return table;
}

/** Installs one leaf in one root. */
export function install(
  context: BuildContext,
  root: Frame,
  address: bigint,
  mapping: Mapping,
  make: () => Frame,
  bits = TABLE_BITS,
): void {
  const table = reach(context, root, address, mapping.level, make, bits);
  const { lo, hi } = leafEntry(mapping);
  context.entries.write(table, tableIndex(address, mapping.level), lo, hi);
}
