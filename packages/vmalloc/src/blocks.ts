/**
 * Frames for many pages at once: the largest blocks that fit, so that an area of n pages takes a few requests and not
 * n.
 */
import { NONE, type Frame, type NodeId } from "@kreplica/hw-x86/api";
import type { Gfp, PageAllocator } from "@kreplica/mm-core/api";
import type { FrameBlock } from "./api.js";

/** Largest order the page allocator serves. @source include/linux/mmzone.h MAX_ORDER */
const LARGEST_ORDER = 10;
/** Order of a 2 MiB block. */
export const HUGE_ORDER = 9;

export interface Blocks {
  readonly frames: Frame[];
  readonly blocks: FrameBlock[];
}

/**
 * Frames for `pages` pages on the node.
 *
 * @param lowest smallest block to accept: 0, or {@link HUGE_ORDER} when every 512 pages must be one aligned block
 * @returns frames in page order with the blocks they came in, or undefined with nothing kept when memory gave out
 */
export function allocateBlocks(
  allocator: PageAllocator,
  node: NodeId,
  pages: number,
  gfp: Gfp,
  lowest: number,
): Blocks | undefined {
  const frames: Frame[] = [];
  const blocks: FrameBlock[] = [];
  let order = LARGEST_ORDER;
  while (frames.length < pages) {
    const left = pages - frames.length;
    while (order > lowest && 2 ** order > left) order--;
    const frame = allocator.allocate(node, order, gfp);
    if (frame === NONE) {
      // A smaller block may still be had: memory is fragmented long before it is used up.
      if (order > lowest) {
        order--;
        continue;
      }
      freeBlocks(allocator, blocks);
      return undefined;
    }
    blocks.push({ frame, order });
    for (let i = 0; i < 2 ** order; i++) frames.push(frame + i);
  }
  return { frames, blocks };
}

/** Gives every block back as it came. */
export function freeBlocks(allocator: PageAllocator, blocks: readonly FrameBlock[]): void {
  for (const { frame, order } of blocks) allocator.free(frame, order);
}
