/**
 * Frames that a CPU gave back are the next that it gets: as in Linux, whose page allocator keeps small blocks with the
 * CPU that freed them. Without it CPUs that make and free page tables at once would hand each other their lines.
 * Source: Linux 6.1 mm/page_alloc.c, free_unref_page: blocks of order 3 at most.
 */
import { overlay, plugin } from "@kreplica/di";
import { type CpuId, type Frame, Machine, type NodeId } from "@kreplica/hw-x86";
import { PageAllocator } from "@kreplica/mm-core";

const MOST_ORDER = 3;

/** Lists of every CPU, in front of the allocator of one kernel. They keep what they have. */
export class FrameLists {
  /** Whose lists are used; set it before that CPU's kernel works. While it boots nobody's are. */
  current: CpuId | undefined;
  /** Last in, first out: by CPU, node and order. */
  private readonly lists = new Map<string, Frame[]>();

  /** What a kernel is assembled with whose allocator serves tables out of them. */
  readonly plugin = plugin("lists of freed frames", [
    overlay(PageAllocator, (allocator, get) => this.before(allocator, get(Machine))),
  ]);

  private before(allocator: PageAllocator, machine: Machine): PageAllocator {
    const allocate = allocator.allocate.bind(allocator);
    const free = allocator.free.bind(allocator);
    allocator.allocate = (node, order, gfp) => {
      const frame = gfp.purpose === "page-table" ? this.listOf(node, order)?.pop() : undefined;
      if (frame === undefined) return allocate(node, order, gfp);
      if (gfp.zero) for (let each = frame; each < frame + (1 << order); each++) machine.memory.clearFrame(each);
      return frame;
    };
    allocator.free = (frame, order) => {
      const list =
        allocator.purposeOf(frame) === "page-table" ? this.listOf(machine.memory.nodeOf(frame), order) : undefined;
      if (list) list.push(frame);
      else free(frame, order);
    };
    return allocator;
  }

  private listOf(node: NodeId, order: number): Frame[] | undefined {
    if (this.current === undefined || order > MOST_ORDER) return undefined;
    const key = `${this.current} ${node} ${order}`;
    const list = this.lists.get(key) ?? [];
    this.lists.set(key, list);
    return list;
  }
}
