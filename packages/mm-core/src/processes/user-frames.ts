/** How often each user frame is mapped: what fork shares, and a write has to copy while it is shared. */
import { inject, injectable } from "@kreplica/di";
import { type Frame, NONE, type NodeId } from "@kreplica/hw-x86/api";
import { invariant } from "../errors.js";
import { PageAllocator } from "../memory/page-allocator-api.js";
import type { UserFrames } from "./user-frames-api.js";

@injectable()
export class CountedFrames implements UserFrames {
  /** First frame -> count * 16 + order. */
  private readonly counts = new Map<Frame, number>();
  constructor(@inject(PageAllocator) private readonly allocator: PageAllocator) {}
  get size(): number {
    return this.counts.size;
  }

  allocate(node: NodeId, order: 0 | 9, exact = false): Frame {
    const frame = this.allocator.allocate(node, order, { purpose: "user", zero: true, thisNode: exact });
    if (frame !== NONE) this.counts.set(frame, 16 + order);
    return frame;
  }

  share(frame: Frame): void {
    const entry = this.counts.get(frame);
    invariant(entry !== undefined, () => `user frame ${frame} is shared and not in use`);
    this.counts.set(frame, entry + 16);
  }

  drop(frame: Frame): void {
    const entry = this.counts.get(frame);
    invariant(entry !== undefined, () => `user frame ${frame} is dropped and not in use`);
    if (entry >= 32) {
      this.counts.set(frame, entry - 16);
      return;
    }
    this.counts.delete(frame);
    this.allocator.free(frame, entry % 16);
  }

  count(frame: Frame): number {
    return Math.floor((this.counts.get(frame) ?? 0) / 16);
  }

  split(frame: Frame): void {
    invariant(this.counts.get(frame) === 16 + 9, () => `frame ${frame} is not a 2 MiB page of one owner`);
    this.allocator.split(frame, 9);
    for (let each = frame; each < frame + 512; each++) this.counts.set(each, 16);
  }
}
