/** The page allocator's port: interface and token. */
import { token } from "@kreplica/di";
import type { Frame, NodeId } from "@kreplica/hw-x86/api";

/** Allocation flags that decide anything in the model. @patch 01/12 include/linux/gfp.h */
export interface Gfp {
  /** Only from the node asked for: __GFP_THISNODE. */
  readonly thisNode?: boolean;
  /** Cleared before it is handed out: __GFP_ZERO. */
  readonly zero?: boolean;
  /** May dip into the reserve: __GFP_HIGH. */
  readonly high?: boolean;
  /** What the frames are for, in accounting and dumps. */
  readonly purpose: FramePurpose;
}

/** What a frame was taken for. */
export type FramePurpose = "page-table" | "text" | "rodata" | "data" | "user" | "module" | "kernel";

/**
 * Page frames per node in powers of two. Served by memblock until the buddy lists are up, as alloc_pages and memblock
 * are in Linux.
 */
export interface PageAllocator {
  /**
   * Takes over from memblock: what {@link BootMemory.handOver} gives is free from now on. The boot calls it once.
   * @source Documentation/core-api/boot-time-mm.rst
   */
  start(): void;
  /**
   * First frame of 2^order, aligned to its size, on the node or the nearest that has some; NONE when refused.
   * @patch 01/12 mm/page_alloc.c __get_free_pages_node
   * @param order 0 to 10
   */
  allocate(node: NodeId, order: number, gfp: Gfp): Frame;
  /** Gives back what {@link allocate} returned, with the same order. @throws InvariantError for anything else */
  free(frame: Frame, order: number): void;
  /** Whether {@link free} would take it: for callers that replace tables others may have made. */
  owns(frame: Frame, order: number): boolean;
  /**
   * What a frame was handed out for, as part of an allocation of any order; `free` while it lies in the free lists.
   * Undefined for what never was the allocator's: memory of early boot, the image, frames set aside.
   */
  purposeOf(frame: Frame): FramePurpose | "free" | undefined;
  /** Makes one allocation into 2^order of a single frame each. @source split_page */
  split(frame: Frame, order: number): void;
  /** Frames that were never handed out and now may be: freed init memory, the tails of text and rodata. */
  donate(first: Frame, frames: number): void;
  /**
   * Takes frames back out that were donated: memory that goes.
   * @returns false, with nothing changed, when one of them is not free
   */
  withdraw(first: Frame, frames: number): boolean;
  /** Takes one named frame out of the free lists, as an order-0 allocation. @returns false when it is not free */
  claim(frame: Frame, purpose: FramePurpose): boolean;
  /** Frames free now, by node id. */
  freeFrames(node: NodeId): number;
  /** Frames handed out, by node id and purpose; memblock's included. */
  usedFrames(node: NodeId, purpose: FramePurpose): number;
  /**
   * Makes the n-th allocation from now (1 is the next) and, when `repeat`, every later one fail; 0 switches it off.
   * Tests refuse every n.
   */
  refuse(nth: number, repeat?: boolean): void;
  /** Allocations asked for since boot. */
  readonly requests: number;
}
export const PageAllocator = token<PageAllocator>("mm-core/PageAllocator");
