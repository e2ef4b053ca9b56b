/**
 * A node's memory plugged in while the kernel runs: page descriptors and direct map for it, in every root and in every
 * process that is alive, then its frames for everybody.
 *
 * A direct map that grows past a top-level slot is where per-node PGDs differ from one: Linux copies the new slot to
 * every PGD on pgd_list, and init_mm's clones are not on it (defect D10 of the series). Here KernelTables reaches every
 * root of init_mm, and each address space takes over what its holders' roots have. Who holds copies was decided at boot
 * and stays: the node goes on using its nearest. Source: Documentation/mm/memory-model.rst;
 * Documentation/admin-guide/mm/memory-hotplug.rst; sync_global_pgds for which PGDs must follow.
 */
import { inject, injectable } from "@kreplica/di";
import { type Frame, Machine, NONE, type NodeId } from "@kreplica/hw-x86/api";
import { AddressSpaces } from "./address-space-api.js";
import { descriptorRange, LEAF_DESCRIBES, leavesOf } from "../boot/direct-map.js";
import { invariant } from "../errors.js";
import { descriptorAddress, directAddress } from "../image/layout.js";
import { KernelOptions } from "../options-api.js";
import { KernelLayout } from "../image/kernel-layout-api.js";
import { KernelTables } from "../tables/kernel-tables-api.js";
import { PageAllocator } from "../memory/page-allocator-api.js";
import { ReplicaView } from "../tables/replica-view-api.js";
import { KERNEL_DATA } from "../tables/protection.js";
import type { MemoryHotplug } from "./memory-hotplug-api.js";

/** Order of a 2 MiB block. */
const LARGE_ORDER = 9;

@injectable()
export class DirectMapHotplug implements MemoryHotplug {
  readonly offline: Set<NodeId>;

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(KernelOptions) private readonly options: KernelOptions,
    @inject(KernelTables) private readonly tables: KernelTables,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(AddressSpaces) private readonly spaces: AddressSpaces,
    @inject(ReplicaView) private readonly view: ReplicaView,
  ) {
    this.offline = new Set(options.offlineMemory);
  }

  online(node: NodeId): boolean {
    invariant(this.offline.has(node), `memory of node ${node} is in use already, or there is none`);
    invariant(
      this.layout.kasan === undefined,
      "memory that comes late would need shadow, which this model does not give it",
    );
    const ranges = this.machine.memory.ranges.filter((range) => range.node === node);
    const blocks: Frame[] = [];
    const protection = { ...KERNEL_DATA, global: !this.layout.pti };
    const done = this.tables.edit((editor) =>
      editor.together(() => {
        for (const range of ranges) {
          // The node's own memory cannot hold its descriptors yet: they come from the nearest that has some.
          const { first, leaves } = descriptorRange(range);
          for (let leaf = 0; leaf < leaves; leaf++) {
            const block = this.allocator.allocate(node, LARGE_ORDER, { purpose: "kernel", zero: true });
            if (block === NONE) return false;
            blocks.push(block);
            const address = descriptorAddress(this.layout, first + leaf * LEAF_DESCRIBES);
            if (!editor.map(address, { ...protection, frame: block, level: 2 })) return false;
          }
          for (const { frame, level } of leavesOf(range)) {
            if (!editor.map(directAddress(this.layout, frame), { ...protection, frame, level })) return false;
          }
        }
        return true;
      }),
    );
    if (!done) {
      for (const block of blocks) this.allocator.free(block, LARGE_ORDER);
      return false;
    }
    for (const space of this.spaces.all) space.followKernel();
    for (const { first, frames } of ranges) this.donate(first, first + frames);
    this.offline.delete(node);
    this.view.memoryAdded?.(node);
    return true;
  }

  /** Gives frames to everybody, but those nobody may have. */
  private donate(first: Frame, end: Frame): void {
    let from = first;
    for (const run of [...this.options.reserved].sort((a, b) => a.first - b.first)) {
      if (run.first >= end || run.first + run.frames <= from) continue;
      if (run.first > from) this.allocator.donate(from, run.first - from);
      from = run.first + run.frames;
    }
    if (from < end) this.allocator.donate(from, end - from);
  }
}
