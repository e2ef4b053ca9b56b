/**
 * All memory at page_offset_base: 4 KiB leaves at ragged ends and below 2 MiB, 2 MiB leaves below the next gigabyte, 1
 * GiB leaves between. And vmemmap, the array of page descriptors, each node's part in its own memory.
 *
 * Source: Linux 6.5 arch/x86/mm/init.c (split_mem_range) and init_64.c; checked against recorded tables of a 1 GiB
 * guest.
 */
import {
  addressOfFrame,
  type Frame,
  type FrameRange,
  HUGE_PAGES,
  LARGE_PAGES,
  NONE,
  PAGE_BYTES,
} from "@kreplica/hw-x86/api";
import type { BuildContext } from "./build-context-api.js";
import { install, newTable, symbolFrame } from "./early-map.js";
import { MmError } from "../errors.js";
import { DESCRIPTOR_BYTES, descriptorAddress, directAddress, imageFrame } from "../image/layout.js";
import type { KernelImage } from "../image/kernel-image-api.js";
import type { KernelLayout } from "../image/kernel-layout-api.js";
import { KERNEL_DATA } from "../tables/protection.js";

/**
 * Frames of a memory section: descriptors come for whole sections of 128 MiB.
 * @source Documentation/mm/memory-model.rst
 */
const SECTION_FRAMES = 32768;
/** Tables of the direct map that the image's brk has room for. */
const BRK_TABLES = 6;

/**
 * First of `frames` frames of the image's brk behind the direct map's tables, aligned to their number; what Linux would
 * take with RESERVE_BRK. The DMI tables, which Linux keeps there, are not modelled.
 * @returns NONE when the brk is too short
 */
export function brkRoom(layout: KernelLayout, image: KernelImage, frames: number): Frame {
  const behind = symbolFrame(layout, image, "__brk_base") + 1 + BRK_TABLES;
  const first = Math.ceil(behind / frames) * frames;
  return first + frames <= imageFrame(layout, image.stext, image.end) ? first : NONE;
}

/** @returns leaves made, by level */
export function buildDirectMap(context: BuildContext, root: Frame): { small: number; large: number; huge: number } {
  const { machine, layout, image, master } = context;
  const made = { small: 0, large: 0, huge: 0 };
  const protection = { ...KERNEL_DATA, global: !layout.pti };
  // The first tables come out of .brk, behind its first page.
  let brk = symbolFrame(layout, image, "__brk_base") + 1;
  const brkEnd = brk + BRK_TABLES;
  const node = { now: master };
  const make = (): Frame => (brk < brkEnd ? brk++ : newTable(context, node.now));
  const leaf = (frame: Frame, level: 1 | 2 | 3): void =>
    install(context, root, directAddress(layout, frame), { ...protection, frame, level }, make);

  for (const range of machine.memory.ranges) {
    if (context.offline.has(range.node)) continue;
    node.now = range.node;
    for (const { frame, level } of leavesOf(range)) {
      leaf(frame, level);
      made[(["small", "large", "huge"] as const)[level - 1]!]++;
    }
  }
  return made;
}

/** Leaves of the direct map over a range, in order of address. */
export function* leavesOf(range: FrameRange): Generator<{ readonly frame: Frame; readonly level: 1 | 2 | 3 }> {
  const end = range.first + range.frames;
  // The first megabyte was mapped on its own, so its gigabyte is in smaller pieces for good.
  const fits = (frame: Frame, size: number): boolean => frame % size === 0 && end - frame >= size && frame !== 0;
  for (let frame = range.first; frame < end;) {
    const level = fits(frame, HUGE_PAGES) ? 3 : fits(frame, LARGE_PAGES) ? 2 : 1;
    yield { frame, level };
    frame += level === 3 ? HUGE_PAGES : level === 2 ? LARGE_PAGES : 1;
  }
}

/** Frames whose descriptors one 2 MiB leaf holds. */
export const LEAF_DESCRIBES = (LARGE_PAGES * PAGE_BYTES) / DESCRIPTOR_BYTES;

/** First frame described, and 2 MiB leaves of descriptors, for a range: whole sections. */
export function descriptorRange(range: FrameRange): { readonly first: Frame; readonly leaves: number } {
  const first = Math.floor(range.first / SECTION_FRAMES) * SECTION_FRAMES;
  const end = Math.ceil((range.first + range.frames) / SECTION_FRAMES) * SECTION_FRAMES;
  return { first, leaves: Math.ceil((end - first) / LEAF_DESCRIBES) };
}

/** @returns frames that hold descriptors @throws MmError out-of-frames when a machine has no room for them */
export function buildVmemmap(context: BuildContext, root: Frame): number {
  const { machine, layout, early } = context;
  const protection = { ...KERNEL_DATA, global: !layout.pti };
  let frames = 0;
  for (const range of machine.memory.ranges) {
    if (context.offline.has(range.node)) continue;
    const { first, leaves } = descriptorRange(range);
    const block = early.allocate(range.node, leaves * LARGE_PAGES, LARGE_PAGES, "kernel");
    if (block === NONE)
      throw new MmError(
        "out-of-frames",
        addressOfFrame(first),
        `node ${range.node} has no room for the descriptors of its own memory`,
      );
    for (let leaf = 0; leaf < leaves; leaf++) {
      const address = descriptorAddress(layout, first + leaf * LEAF_DESCRIBES);
      install(context, root, address, { ...protection, frame: block + leaf * LARGE_PAGES, level: 2 }, () =>
        newTable(context, range.node),
      );
    }
    frames += leaves * LARGE_PAGES;
  }
  return frames;
}
