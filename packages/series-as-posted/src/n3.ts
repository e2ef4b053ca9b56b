/** N3: the counter of vmalloc pages only grows. */
import { overlay } from "@kreplica/di";
import { type Frame, type NodeId, PhysMemory } from "@kreplica/hw-x86/api";
import { PageAccount } from "@kreplica/vmalloc/api";
import type { SeriesDefect } from "./defect.js";

/** Pages of copies are added to the counter and never subtracted. */
class ForgetfulAccount implements PageAccount {
  private readonly byNode = new Map<NodeId, number>();

  constructor(private readonly memory: PhysMemory) {}

  add(frames: readonly Frame[], _copy: "base" | "replica"): void {
    this.change(frames, 1);
  }
  remove(frames: readonly Frame[], copy: "base" | "replica"): void {
    if (copy === "base") this.change(frames, -1);
  }
  pages(node: NodeId): number {
    return this.byNode.get(node) ?? 0;
  }

  private change(frames: readonly Frame[], by: 1 | -1): void {
    for (const frame of frames) this.byNode.set(this.memory.nodeOf(frame), this.pages(this.memory.nodeOf(frame)) + by);
  }
}

export const N3: SeriesDefect = {
  id: "N3",
  sentence: "the counter of vmalloc pages only grows",
  patch: "10/12 mm/vmalloc.c __vmalloc_node_replicate_range",
  effect: "VmallocUsed goes up with every load and unload of a module; no page leaks",
  breaks: ["E6"],
  confirmed: "seen on a running kernel",
  overlays: [overlay(PageAccount, (_corrected, get) => new ForgetfulAccount(get(PhysMemory)))],
};
