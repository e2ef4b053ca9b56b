/** Pages in use by areas, by the node that owns them: nr_vmalloc_pages. */
import { inject, injectable } from "@kreplica/di";
import { PhysMemory, type Frame, type NodeId } from "@kreplica/hw-x86/api";
import { invariant } from "@kreplica/mm-core/api";
import type { PageAccount } from "./api.js";

/** What is added is subtracted again, replicas included. */
@injectable()
export class ExactAccount implements PageAccount {
  private readonly byNode = new Map<NodeId, number>();

  constructor(@inject(PhysMemory) private readonly memory: PhysMemory) {}

  add(frames: readonly Frame[], _copy: "base" | "replica"): void {
    this.change(frames, 1);
  }
  remove(frames: readonly Frame[], _copy: "base" | "replica"): void {
    this.change(frames, -1);
  }
  pages(node: NodeId): number {
    return this.byNode.get(node) ?? 0;
  }

  private change(frames: readonly Frame[], by: 1 | -1): void {
    for (const frame of frames) {
      const node = this.memory.nodeOf(frame);
      const now = this.pages(node) + by;
      invariant(now >= 0, `node ${node} gave back more pages than its areas had`);
      this.byNode.set(node, now);
    }
  }
}
