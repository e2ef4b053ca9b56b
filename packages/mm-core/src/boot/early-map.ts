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
import { walk } from "../tables/walk.js";

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
  const { entries, layout } = context;
  if (wanted === layout.levels) return root;
  const end = walk(entries.memory, root, layout.levels, address, wanted + 1);
  invariant(!end.present || !isLeaf(end.lo, end.level), `${hex(address)} is covered by a leaf of level ${end.level}`);
  if (end.present) return frameOf(end.lo, end.hi);
  let { table } = end;
  for (let { level } = end; level > wanted; level--) {
    const lower = make();
    entries.write(table, tableIndex(address, level), entryLow(lower, bits), entryHigh(lower, false));
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
