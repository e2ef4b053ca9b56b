/**
 * Copies of an area for every holder, all or nothing: take all memory first, fill it, then re-point the live leaves in
 * one edit.
 *
 * The series unmaps a node's view before it maps the copy, so that the node has a hole in between, and frees copies
 * that are still mapped when memory gives out later (D6). Here a leaf goes from the shared frame to the copy in one
 * store, the copy is complete before anybody can see it, and whatever can fail has failed before the first store.
 */
import { inject, injectable } from "@kreplica/di";
import { PhysMemory } from "@kreplica/hw-x86/api";
import { KernelTables, PageAllocator, type Gfp } from "@kreplica/mm-core/api";
import type { AreaCopy, AreaReplicator, ReplicationJob } from "./api.js";
import { allocateBlocks, freeBlocks, HUGE_ORDER } from "./blocks.js";

/** One flush for all holders, no holder ever with a hole. @patch 10/12 mm/vmalloc.c __vmalloc_node_replicate_range */
@injectable()
export class MapOverReplicator implements AreaReplicator {
  constructor(
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(PhysMemory) private readonly memory: PhysMemory,
    @inject(KernelTables) private readonly tables: KernelTables,
  ) {}

  replicate(jobs: readonly ReplicationJob[]): readonly (readonly AreaCopy[] | undefined)[] {
    const made = jobs.map((job) => this.copy(job));
    this.tables.edit((editor) =>
      jobs.forEach(({ area }, nth) => {
        const copies = made[nth];
        if (!copies) return;
        const byNode = new Map(copies.map((copy) => [copy.node, copy.frames]));
        // A refused table page, for splitting a large leaf, leaves the area as it was; nobody has seen the copies.
        if (!editor.repoint(area, (page, node) => byNode.get(node)?.[page])) made[nth] = this.giveBack(copies);
      }),
    );
    return made;
  }

  /** Complete copies that nothing maps yet. */
  private copy({ area, targets }: ReplicationJob): readonly AreaCopy[] | undefined {
    // A copy on another node would be of no use, so no other node will do: D14 for areas.
    const gfp: Gfp = { purpose: area.purpose, thisNode: true };
    const copies: AreaCopy[] = [];
    for (const node of targets) {
      const blocks = allocateBlocks(this.allocator, node, area.pages, gfp, area.level === 2 ? HUGE_ORDER : 0);
      if (!blocks) return this.giveBack(copies);
      copies.push({ node, ...blocks });
    }
    for (const { frames } of copies) {
      for (let page = 0; page < area.pages; page++) this.memory.copyFrame(area.frames[page]!, frames[page]!);
    }
    return copies;
  }

  private giveBack(copies: readonly AreaCopy[]): undefined {
    for (const copy of copies) freeBlocks(this.allocator, copy.blocks);
    return undefined;
  }
}
