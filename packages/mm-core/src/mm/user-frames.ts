/** How often each user frame is mapped: what fork shares, and a write has to copy while it is shared. */
import { inject, injectable, token } from "@kreplica/di";
import { type Frame, type NodeId } from "@kreplica/hw-x86/api";
import { NONE } from "@kreplica/hw-x86/api";
import { invariant } from "../errors.js";
import { PageAllocator } from "../ports.js";

/** Frames of user pages with their counts. */
export interface UserFrames {
  /** A zeroed block with count 1, or NONE. @param order 0, or 9 for a 2 MiB page @param exact only from this node */
  allocate(node: NodeId, order: 0 | 9, exact?: boolean): Frame;
  /** One more mapping. @param frame first of a block */
  share(frame: Frame): void;
  /** One mapping less; the last frees the block. */
  drop(frame: Frame): void;
  count(frame: Frame): number;
  /** Makes a 2 MiB block with count 1 into 512 single pages with count 1 each. */
  split(frame: Frame): void;
  /** Blocks in use. */
  readonly size: number;
}
export const UserFrames = token<UserFrames>("mm-core/UserFrames");

@injectable()
export class CountedFrames implements UserFrames {
  /** First frame -> count * 16 + order. */
  private readonly counts = new Map<Frame, number>();
  constructor(@inject(PageAllocator) private readonly allocator: PageAllocator) {}
  get size(): number { return this.counts.size; }

  allocate(node: NodeId, order: 0 | 9, exact = false): Frame {
    const frame = this.allocator.allocate(node, order, { purpose: "user", zero: true, thisNode: exact });
    if (frame !== NONE) this.counts.set(frame, 16 + order);
    return frame;
  }

  share(frame: Frame): void {
    const entry = this.counts.get(frame);
    invariant(entry !== undefined, `user frame ${frame} is shared and not in use`);
    this.counts.set(frame, entry + 16);
  }

  drop(frame: Frame): void {
    const entry = this.counts.get(frame);
    invariant(entry !== undefined, `user frame ${frame} is dropped and not in use`);
    if (entry >= 32) {
      this.counts.set(frame, entry - 16);
      return;
    }
    this.counts.delete(frame);
    this.allocator.free(frame, entry % 16);
  }

  count(frame: Frame): number { return Math.floor((this.counts.get(frame) ?? 0) / 16); }

  split(frame: Frame): void {
    invariant(this.counts.get(frame) === 16 + 9, `frame ${frame} is not a 2 MiB page of one owner`);
    this.allocator.split(frame, 9);
    for (let each = frame; each < frame + 512; each++) this.counts.set(each, 16);
  }
}
