/**
 * The series' own way with areas, as small plugins to lay over ours: for comparison, and as defects that the invariants must catch.
 * D6, D7, D12 and N3 are described in docs (series.md 8.2); nothing else uses this file.
 */
import { inject, injectable } from "@kreplica/di";
import { NONE, PhysMemory, type Frame, type NodeId } from "@kreplica/hw-x86/api";
import { KernelLayout, KernelTables, PageAllocator, type Mapping } from "@kreplica/mm-core/api";
import { deferTrackingBit } from "./area-bits.js";
import type { AliasFlush, AreaBits, AreaCopy, AreaReplicator, FrameBlock, PageAccount, ReplicationJob, VmArea } from "./api.js";

/**
 * Node by node: pages one at a time, unmap, map, copy; one flush at the end.
 *
 * D6: when a later node has no memory, the copies of earlier nodes are freed while those nodes still map them.
 * @patch 10/12 mm/vmalloc.c __vmalloc_node_replicate_range
 */
@injectable()
export class UnmapThenMapReplicator implements AreaReplicator {
  constructor(
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(PhysMemory) private readonly memory: PhysMemory,
    @inject(KernelTables) private readonly tables: KernelTables,
  ) {}

  replicate(jobs: readonly ReplicationJob[]): readonly (readonly AreaCopy[] | undefined)[] { return jobs.map((job) => this.one(job)); }

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
      const addressOf = (page: number): bigint => area.start + BigInt(page) * 4096n;
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
    this.tables.flush(area.start, area.start + BigInt(area.pages) * 4096n);
    return copies;
  }
}

/** D7: the range to flush is computed from the base copy alone. @patch 10/12 mm/vmalloc.c vm_reset_perms */
@injectable()
export class BaseCopyFlush implements AliasFlush {
  framesToFlush(area: VmArea): Iterable<Frame> { return area.frames; }
}

/**
 * D12: being shared has the bit that a kernel with KASAN but without its shadow of vmalloc uses already, so that to ask for one is to ask for the other.
 * @patch 10/12 include/linux/vmalloc.h VM_NUMA_SHARED
 */
@injectable()
export class SharedBitTwice implements AreaBits {
  readonly shared = 0x800;
  readonly deferTracking: number;

  constructor(@inject(KernelLayout) layout: KernelLayout) { this.deferTracking = deferTrackingBit(layout); }
}

/** N3: replica pages are added to the counter and never subtracted. */
@injectable()
export class ForgetfulAccount implements PageAccount {
  private readonly byNode = new Map<NodeId, number>();

  constructor(@inject(PhysMemory) private readonly memory: PhysMemory) {}

  add(frames: readonly Frame[], _copy: "base" | "replica"): void { this.change(frames, 1); }
  remove(frames: readonly Frame[], copy: "base" | "replica"): void {
    if (copy === "base") this.change(frames, -1);
  }
  pages(node: NodeId): number { return this.byNode.get(node) ?? 0; }

  private change(frames: readonly Frame[], by: 1 | -1): void {
    for (const frame of frames) this.byNode.set(this.memory.nodeOf(frame), this.pages(this.memory.nodeOf(frame)) + by);
  }
}
