/** The series' own way of giving an area copies, which D6 lays over ours. */
import { Bit, entryHigh, entryLow, type Frame, NONE, PAGE, type PhysMemory } from "@kreplica/hw-x86/api";
import {
  type KernelLayout,
  type KernelTables,
  type PageAllocator,
  type ReplicaView,
  type TableMemory,
  walk,
} from "@kreplica/mm-core/api";
import type { AreaCopy, AreaReplicator, FrameBlock, ReplicationJob, VmArea } from "@kreplica/vmalloc/api";

/** What of the kernel it takes. */
export interface UnmapThenMapParts {
  readonly allocator: PageAllocator;
  readonly memory: PhysMemory;
  readonly tables: KernelTables;
  readonly entries: TableMemory;
  readonly view: ReplicaView;
  readonly layout: KernelLayout;
}

/**
 * Node by node: pages one at a time, unmap, map, copy; one flush at the end.
 *
 * D6: when a later node has no memory, the copies of earlier nodes are freed while those nodes still map them.
 * @patch 10/12 mm/vmalloc.c __vmalloc_node_replicate_range
 */
export class UnmapThenMapReplicator implements AreaReplicator {
  constructor(private readonly parts: UnmapThenMapParts) {}

  replicate(jobs: readonly ReplicationJob[]): readonly (readonly AreaCopy[] | undefined)[] {
    return jobs.map((job) => this.one(job));
  }

  private one({ area, targets }: ReplicationJob): readonly AreaCopy[] | undefined {
    const { allocator, memory, tables } = this.parts;
    const copies: AreaCopy[] = [];
    const step = area.level === 2 ? 512 : 1;
    const order = area.level === 2 ? 9 : 0;
    for (const node of targets) {
      const frames: Frame[] = [];
      const blocks: FrameBlock[] = [];
      copies.push({ node, frames, blocks });
      for (let page = 0; page < area.pages; page += step) {
        const frame = allocator.allocate(node, order, { purpose: area.purpose });
        if (frame === NONE) {
          for (const copy of copies) for (const block of copy.blocks) allocator.free(block.frame, block.order);
          return undefined;
        }
        blocks.push({ frame, order });
        for (let i = 0; i < step; i++) frames.push(frame + i);
      }
      this.mapOn(node, area, frames, step);
      for (let page = 0; page < area.pages; page++) memory.copyFrame(area.frames[page]!, frames[page]!);
    }
    tables.flush(area);
    return copies;
  }

  /**
   * One node's leaves: all out, then all in, so that the node has a hole in between. The tables stay, so none is
   * wanted.
   * @patch 10/12 mm/vmalloc.c vunmap_range_noflush_pgd, vmap_pages_range_noflush_pgd
   */
  private mapOn(node: number, area: VmArea, frames: readonly Frame[], step: number): void {
    const { entries, tables, view, layout } = this.parts;
    const leaves = Array.from({ length: area.pages / step }, (_, nth) => ({
      ...walk(entries.memory, view.kernelRoot(node), layout.levels, area.start + BigInt(nth * step) * PAGE, area.level),
      frame: frames[nth * step]!,
    }));
    for (const { table, index } of leaves) entries.write(table, index, 0, 0);
    // Nothing is said of the leaves but that a flush is owed.
    tables.editLazily((editor) => editor.repoint(area, () => undefined));
    // A leaf keeps its bits 0 to 11, and PAT where a large one has it.
    const kept = 0xfff | (area.level > 1 ? Bit.PatLarge : 0);
    for (const { table, index, lo, hi, frame } of leaves)
      entries.write(table, index, entryLow(frame, lo & kept), entryHigh(frame, hi >>> 31 === 1));
  }
}
