/**
 * A node's memory plugged in while the kernel runs: page descriptors, direct map and KASAN's shadow for it, in every
 * root and in every process that is alive, then its frames for everybody. And taken away again, in the reverse order:
 * nobody has its frames, then nobody maps them, then nobody's TLB does, and only then its descriptors go.
 *
 * A direct map that grows past a top-level slot is where per-node PGDs differ from one: Linux copies the new slot to
 * every PGD on pgd_list, and init_mm's clones are not on it (defect D10 of the series). Here KernelTables reaches every
 * root of init_mm, and each address space takes over what its holders' roots have. Who holds copies was decided at boot
 * and stays: the node goes on using its nearest. Source: Documentation/mm/memory-model.rst;
 * Documentation/admin-guide/mm/memory-hotplug.rst; sync_global_pgds for which PGDs must follow. Memory that goes leaves
 * top-level slots alone, as Linux does since 4.2: no PGD has to be told. Of KASAN, mm/kasan/shadow.c kasan_mem_notifier
 * of 6.5; shadow comes in 2 MiB leaves here as at boot, in Linux in single pages.
 */
import { inject, injectable } from "@kreplica/di";
import {
  type CpuId,
  entryPages,
  type Frame,
  type FrameRange,
  LARGE,
  LARGE_PAGES,
  highOf,
  lowOf,
  Machine,
  NONE,
  type NodeId,
  PAGE_BYTES,
} from "@kreplica/hw-x86/api";
import { AddressSpaces } from "./address-space-api.js";
import { shadowLeaves } from "../boot/kasan.js";
import { descriptorRange, LEAF_DESCRIBES, leavesOf } from "../boot/direct-map.js";
import { invariant } from "../errors.js";
import { DESCRIPTOR_BYTES, descriptorAddress, directAddress } from "../image/layout.js";
import { KernelOptions } from "../options-api.js";
import { KernelLayout } from "../image/kernel-layout-api.js";
import { CpuState } from "../tables/cpu-state-api.js";
import { KernelTables } from "../tables/kernel-tables-api.js";
import { type FramePurpose, PageAllocator } from "../memory/page-allocator-api.js";
import { ReplicaView } from "../tables/replica-view-api.js";
import { KERNEL_DATA } from "../tables/protection.js";
import type { DescriptorFault, MemoryHotplug, RemovalOutcome } from "./memory-hotplug-api.js";
import { PageCache } from "./page-cache-api.js";
import { PageMigration } from "./page-migration.js";
import { Processes } from "./process-api.js";
import { SwitchMm } from "./switch-api.js";
import { UserFrames } from "./user-frames-api.js";

/** Descriptors in a page of vmemmap. */
const DESCRIPTORS_PER_PAGE = PAGE_BYTES / DESCRIPTOR_BYTES;
/**
 * Where a page's node stands in the high word of its descriptor's flags: the topmost ten bits.
 * @source Linux 6.5 include/linux/page-flags-layout.h, NODES_SHIFT of 10
 */
const NODE_SHIFT = 22;
/** Order of a 2 MiB block. */
const LARGE_ORDER = 9;
/** What stays where it is for good. */
const UNMOVABLE: readonly FramePurpose[] = ["page-table", "text", "rodata", "data", "module", "kernel"];

@injectable()
export class DirectMapHotplug implements MemoryHotplug {
  readonly offline: Set<NodeId>;
  readonly descriptorFaults: DescriptorFault[] = [];
  /** Nodes whose memory came while the kernel ran, each with what memblock keeps in its count: set aside at boot. */
  private readonly added = new Map<NodeId, number>();
  /** First addresses of the leaves of shadow that came with the memory of each. */
  private readonly shadows = new Map<NodeId, readonly bigint[]>();
  private readonly migration: PageMigration;

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(KernelOptions) private readonly options: KernelOptions,
    @inject(KernelTables) private readonly tables: KernelTables,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(AddressSpaces) private readonly spaces: AddressSpaces,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(Processes) processes: Processes,
    @inject(UserFrames) userFrames: UserFrames,
    @inject(SwitchMm) switcher: SwitchMm,
    @inject(CpuState) private readonly cpus: CpuState,
    @inject(PageCache) cache: PageCache,
  ) {
    this.offline = new Set(options.offlineMemory);
    this.migration = new PageMigration(machine, processes, userFrames, switcher, cache);
  }

  online(node: NodeId, cpu: CpuId = this.cpus.current): boolean {
    invariant(this.offline.has(node), `memory of node ${node} is in use already, or there is none`);
    const ranges = this.machine.memory.ranges.filter((range) => range.node === node);
    const blocks: Frame[] = [];
    const shadow: bigint[] = [];
    const [holder] = this.view.holders;
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
          for (const address of this.shadowOf(range)) {
            // Another node's memory may have brought it.
            if (this.tables.lookup(holder!, address)) continue;
            const block = this.allocator.allocate(node, LARGE_ORDER, { purpose: "kernel", zero: true });
            if (block === NONE) return false;
            blocks.push(block);
            if (!editor.map(address, { ...protection, frame: block, level: 2 })) return false;
            shadow.push(address);
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
    // Not before every table a CPU may be on has them: the one that writes runs some process.
    for (const range of ranges) this.writeDescriptors(range, cpu);
    for (const range of ranges)
      for (const { first, frames } of this.usable(range)) this.allocator.donate(first, frames);
    this.offline.delete(node);
    this.added.set(node, this.unmovable(node));
    this.shadows.set(node, shadow);
    this.view.memoryAdded?.(node);
    return true;
  }

  remove(node: NodeId, cpu: CpuId): RemovalOutcome {
    invariant(this.added.has(node), `memory of node ${node} did not come while the kernel ran`);
    const { allocator, migration } = this;
    const ranges = this.machine.memory.ranges.filter((range) => range.node === node);
    if (this.unmovable(node) !== this.added.get(node) || migration.pagesOn(node) !== allocator.usedFrames(node, "user"))
      return "kernel-memory";
    if (!migration.away(node, cpu)) return "no-room";
    if (!this.withdraw(ranges)) return "kernel-memory";
    const blocks: Frame[] = [];
    this.tables.edit((editor) => {
      const [holder] = this.view.holders;
      for (const address of this.takeShadow(node)) {
        blocks.push(this.tables.lookup(holder!, address)!.frame);
        editor.unmap(address, 2);
      }
      for (const range of ranges) {
        const { first, leaves } = descriptorRange(range);
        for (let leaf = 0; leaf < leaves; leaf++) {
          const address = descriptorAddress(this.layout, first + leaf * LEAF_DESCRIBES);
          blocks.push(this.tables.lookup(holder!, address)!.frame);
          editor.unmap(address, 2);
        }
        // Whoever changed rights here may have left smaller leaves.
        for (let frame = range.first; frame < range.first + range.frames;) {
          const address = directAddress(this.layout, frame);
          const { level } = this.tables.lookup(holder!, address)!;
          editor.unmap(address, level);
          frame += entryPages(level);
        }
      }
    });
    for (const block of blocks) allocator.free(block, LARGE_ORDER);
    for (const range of ranges) this.dropSplits(range);
    this.added.delete(node);
    this.offline.add(node);
    return "done";
  }

  /**
   * Says of the pages of a range which node they are of, through vmemmap, as a CPU reaches it: the first descriptor in
   * each page of the array stands for all in it, which share its translation.
   * @source Linux 6.5 mm/mm_init.c __init_single_page
   */
  private writeDescriptors(range: FrameRange, cpu: CpuId): void {
    const core = this.machine.cpu(cpu);
    for (let frame = range.first; frame < range.first + range.frames; frame += DESCRIPTORS_PER_PAGE) {
      const address = descriptorAddress(this.layout, frame);
      if (core.store(lowOf(address), highOf(address)) === 0)
        this.machine.memory.write32(core.lastFrame, Number(address & 0xfffn) / 4 + 1, range.node << NODE_SHIFT);
      else this.descriptorFaults.push({ cpu, frame, address });
    }
  }

  private shadowOf(range: FrameRange): readonly bigint[] {
    return this.layout.kasan ? [...shadowLeaves(this.layout, range)] : [];
  }

  /** Leaves of shadow that go with a node's memory: what other memory needs is that node's from now on. */
  private takeShadow(node: NodeId): readonly bigint[] {
    const goes: bigint[] = [];
    for (const address of this.shadows.get(node)!) {
      const other = this.machine.memory.ranges.find(
        (range) => range.node !== node && this.added.has(range.node) && this.shadowOf(range).includes(address),
      );
      if (other) this.shadows.set(other.node, [...this.shadows.get(other.node)!, address]);
      else goes.push(address);
    }
    this.shadows.delete(node);
    return goes;
  }

  private unmovable(node: NodeId): number {
    return UNMOVABLE.reduce((sum, purpose) => sum + this.allocator.usedFrames(node, purpose), 0);
  }

  /** Tables of 4 KiB leaves would be in the way of the large ones that were there, and will be. */
  private dropSplits(range: FrameRange): void {
    for (const { frame, level } of leavesOf(range)) {
      if (level === 1) continue;
      for (let each = frame; each < frame + entryPages(level); each += LARGE_PAGES) {
        const start = directAddress(this.layout, each);
        invariant(start % LARGE === 0n, "a large leaf of the direct map lies askew");
        this.tables.makeRoomForLarge({ start, pages: LARGE_PAGES });
      }
    }
  }

  /** Takes frames from everybody. @returns false, with nothing changed, when somebody has one */
  private withdraw(ranges: readonly FrameRange[]): boolean {
    const done: { readonly first: Frame; readonly frames: number }[] = [];
    for (const run of ranges.flatMap((range) => [...this.usable(range)])) {
      if (!this.allocator.withdraw(run.first, run.frames)) {
        for (const each of done) this.allocator.donate(each.first, each.frames);
        return false;
      }
      done.push(run);
    }
    return true;
  }

  /** Runs of a range that anybody may have. */
  private *usable(range: FrameRange): Generator<{ readonly first: Frame; readonly frames: number }> {
    const end = range.first + range.frames;
    let from = range.first;
    for (const run of [...this.options.reserved].sort((a, b) => a.first - b.first)) {
      if (run.first >= end || run.first + run.frames <= from) continue;
      if (run.first > from) yield { first: from, frames: run.first - from };
      from = run.first + run.frames;
    }
    if (from < end) yield { first: from, frames: end - from };
  }
}
