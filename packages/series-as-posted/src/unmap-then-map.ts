/** The series' own way of giving an area copies, which D6 lays over ours. */
import { type Frame, NONE, PAGE, type PhysMemory } from "@kreplica/hw-x86/api";
import type { KernelTables, Mapping, PageAllocator } from "@kreplica/mm-core/api";
import type { AreaCopy, AreaReplicator, FrameBlock, ReplicationJob } from "@kreplica/vmalloc/api";

/**
 * Node by node: pages one at a time, unmap, map, copy; one flush at the end.
 *
 * D6: when a later node has no memory, the copies of earlier nodes are freed while those nodes still map them.
 * @patch 10/12 mm/vmalloc.c __vmalloc_node_replicate_range
 */
export class UnmapThenMapReplicator implements AreaReplicator {
  constructor(
    private readonly allocator: PageAllocator,
    private readonly memory: PhysMemory,
    private readonly tables: KernelTables,
  ) {}

  replicate(jobs: readonly ReplicationJob[]): readonly (readonly AreaCopy[] | undefined)[] {
    return jobs.map((job) => this.one(job));
  }

  private one({ area, targets }: ReplicationJob): readonly AreaCopy[] | undefined {
    const copies: AreaCopy[] = [];
    const freeAll = (): undefined => {
      for (const copy of copies) for (const block of copy.blocks) this.allocator.free(block.frame, block.order);
      return undefined;
    };
    const step = area.level === 2 ? 512 : 1;
    const order = area.level === 2 ? 9 : 0;
    for (const node of targets) {
      const frames: Frame[] = [];
      const blocks: FrameBlock[] = [];
      copies.push({ node, frames, blocks });
      for (let page = 0; page < area.pages; page += step) {
        const frame = this.allocator.allocate(node, order, { purpose: area.purpose });
        if (frame === NONE) return freeAll();
        blocks.push({ frame, order });
        for (let i = 0; i < step; i++) frames.push(frame + i);
      }
      const addressOf = (page: number): bigint => area.start + BigInt(page) * PAGE;
      const before: Mapping[] = [];
      this.tables.editLazily((editor) => {
        for (let page = 0; page < area.pages; page += step) {
          before.push(this.tables.lookup(node, addressOf(page))!);
          editor.unmap(addressOf(page), area.level, node);
        }
      });
      const mapped = this.tables.editLazily((editor) => {
        for (let page = 0; page < area.pages; page += step) {
          if (!editor.map(addressOf(page), { ...before[page / step]!, frame: frames[page]! }, node)) return false;
        }
        return true;
      });
      if (!mapped) return freeAll();
      for (let page = 0; page < area.pages; page++) this.memory.copyFrame(area.frames[page]!, frames[page]!);
    }
    this.tables.flush(area.start, area.start + BigInt(area.pages) * PAGE);
    return copies;
  }
}
