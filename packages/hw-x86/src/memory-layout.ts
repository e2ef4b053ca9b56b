/** Where each node's memory lies in physical address space. */
import { PAGE_BYTES } from "./addr.js";
import { frameOfPage } from "./frame-number.js";
import type { FrameRange } from "./memory-api.js";
import type { NodeSpec } from "./spec.js";

const GIGABYTE_FRAMES = 0x4_0000;

/** Pages of a node, as physical addresses count them. */
export interface PageRun {
  readonly node: number;
  /** Physical address / 4096. */
  readonly first: number;
  readonly pages: number;
}

/**
 * Runs of pages in address order. A node without `startAddress` begins at the first whole GiB above everything before
 * it, in the order of ids, so that a node is found from the high bits of a frame.
 */
export function pageRuns(nodes: readonly NodeSpec[]): PageRun[] {
  const ranges: PageRun[] = [];
  let next = 0;
  for (const node of [...nodes].sort((a, b) => a.id - b.id)) {
    const first = node.startAddress === undefined ? next : node.startAddress / PAGE_BYTES;
    const pages = node.memoryBytes / PAGE_BYTES;
    if (pages > 0) ranges.push({ node: node.id, first, pages });
    next = Math.max(next, Math.ceil((first + pages) / GIGABYTE_FRAMES) * GIGABYTE_FRAMES);
  }
  return ranges.sort((a, b) => a.first - b.first);
}

/** The same as frames, which lie in the same order. @param nodes whose memory has frame numbers: check-spec.ts asks */
export const frameRanges = (nodes: readonly NodeSpec[]): FrameRange[] =>
  pageRuns(nodes).map(({ node, first, pages }) => ({ node, first: frameOfPage(first), frames: pages }));

/** Value of {@link OwnerTable.owner} for a frame in a hole. */
export const HOLE = 255;

/** Node of each frame by its high bits: one byte for the largest power of two of frames that no range border cuts. */
export class OwnerTable {
  readonly shift: number;
  readonly owner: Uint8Array;

  /** @param value what to store for a node: its id, or its index in the specification; 0 to 254 */
  constructor(ranges: readonly FrameRange[], value: (node: number) => number) {
    let borders = GIGABYTE_FRAMES;
    let end = 1;
    for (const { first, frames } of ranges) {
      // Number | loses nothing: only bits below 18 matter for the alignment.
      borders |= first | (first + frames);
      end = Math.max(end, first + frames);
    }
    this.shift = (31 - Math.clz32(borders & -borders)) | 0;
    this.owner = new Uint8Array(Math.ceil(end / 2 ** this.shift)).fill(HOLE);
    for (const { node, first, frames } of ranges) {
      this.owner.fill(value(node), first / 2 ** this.shift, (first + frames) / 2 ** this.shift);
    }
  }

  /** Hot. @returns what the constructor's `value` gave, or {@link HOLE} */
  of(frame: number): number {
    const index = frame >>> this.shift;
    return index < this.owner.length ? this.owner[index]! : 255;
  }
}
