/** Everything another package may see of vmalloc: areas, the ports its parts are bound to, errors. */
import { token } from "@kreplica/di";
import type { Frame, NodeId, PageRange } from "@kreplica/hw-x86/api";
import type { FramePurpose, Protection } from "@kreplica/mm-core/api";

export * from "./errors.js";
export { RangeTree, type Range } from "./range-tree.js";

/**
 * unshared: outside the window, where all nodes share the lower tables, so that there is one mapping to keep;
 * shared: inside it, the same frame in every node's own tables; replicated: a frame of its own on every holder.
 * @patch 10/12 include/linux/vmalloc.h VM_NUMA_SHARED, vm_struct.replicated
 */
export type AreaState = "unshared" | "shared" | "replicated";

/** A run of kernel addresses and what lies behind it. */
export interface VmArea {
  readonly start: bigint;
  /** 4 KiB pages that are mapped; the guard page is not among them. */
  readonly pages: number;
  /** Whether an unmapped page follows. */
  readonly guard: boolean;
  /** allocated: frames of its own, freed with it; mapped: somebody else's (vmap). */
  readonly kind: "allocated" | "mapped";
  readonly state: AreaState;
  /** Holder whose copy is the base: the others are made from it. @patch 10/12 vm_struct.node */
  readonly node: NodeId;
  /** Leaf size: 1 is 4 KiB, 2 is 2 MiB. */
  readonly level: 1 | 2;
  readonly purpose: FramePurpose;
  /** Frames of the base copy, one a page. */
  readonly frames: readonly Frame[];
  /** Copies by holder, the base holder left out; empty unless replicated. */
  readonly copies: ReadonlyMap<NodeId, readonly Frame[]>;
  /** On freeing, the direct-map aliases of every copy go back to writable and not executable: VM_FLUSH_RESET_PERMS. */
  readonly resetPermissions: boolean;
}

/** Where the base copy's pages come from. */
export type Placement = { readonly node: NodeId } | { readonly interleave: readonly NodeId[] };

/** What an area is to be. */
export interface AreaRequest {
  /** Rounded up to whole pages; at least 1. */
  readonly bytes: number;
  /** First address the area may have; default: the vmalloc range. */
  readonly low?: bigint;
  /** First address behind the range. */
  readonly high?: bigint;
  /** Exactly here; overrides low, high and align. */
  readonly at?: bigint;
  /** Power of two, at least 4096 (the default). */
  readonly align?: bigint;
  readonly placement: Placement;
  readonly protection?: Partial<Protection>;
  readonly purpose: FramePurpose;
  /** 2 MiB leaves where the size is a multiple of 2 MiB and such frames are to be had: VM_ALLOW_HUGE_VMAP. */
  readonly huge?: boolean;
  /** No page behind it is kept unmapped: VM_NO_GUARD. */
  readonly noGuard?: boolean;
  readonly resetPermissions?: boolean;
  /**
   * The leak tracker is told by who asks, with {@link Vmalloc.track}, once the area has its shadow: VM_DEFER_KMEMLEAK.
   * Of no effect but on a kernel with KASAN whose vmalloc areas have no shadow, as in Linux.
   */
  readonly deferTracking?: boolean;
}

/** Somebody's frames at consecutive addresses. */
export interface MapRequest extends Omit<AreaRequest, "bytes" | "placement" | "huge" | "deferTracking"> {
  readonly frames: readonly Frame[];
}

/** What became of a replication. Not an error: the area is usable in every case. */
export type ReplicationOutcome =
  /** Every holder has its own copy. */
  | "replicated"
  /** One holder only: there is nothing to copy to. */
  | "single"
  /** A copy or a table page could not be had: the area is as it was, shared, mapped and executable. */
  | "no-memory";

/** Frames in use by areas, now. */
export interface VmallocCounters {
  /** Pages by owner of the frame, base copies and replicas: nr_vmalloc_pages of each node. */
  pages(node: NodeId): number;
  /** Sum over nodes: VmallocUsed in /proc/meminfo, pages. */
  readonly used: number;
  /** Unmapped, their addresses and frames held back until the next flush. */
  readonly lazyPages: number;
  readonly areas: number;
}

/**
 * What looks for memory that nothing points to any more, and must know all memory that may hold pointers. Linux:
 * kmemleak.
 */
export interface LeakTracker {
  /** Whether it was told of an area and not yet that it is gone. */
  knows(area: VmArea): boolean;
}

/** Areas of kernel addresses. Linux: vmalloc(), vmap(), vfree() and their relatives. */
export interface Vmalloc {
  /** @throws VmallocError bad-request, no-space, taken, out-of-frames, out-of-tables; nothing is kept then */
  allocate(request: AreaRequest): VmArea;
  /** vmap: maps frames that stay the caller's. @throws VmallocError as {@link allocate} */
  map(request: MapRequest): VmArea;
  /**
   * vfree or vunmap: unmaps at once; addresses (and own frames) come back with the next flush.
   * @throws VmallocError no-area; MmError text-in-use, with nothing freed, while code in it is patched
   */
  free(area: VmArea): void;
  /** As {@link free} for several at once: one flush for all, however many reset their permissions. */
  freeAll(areas: readonly VmArea[]): void;
  /** Flushes what was freed lazily and gives addresses and frames back. Linux: vm_unmap_aliases. */
  purge(): void;
  /** Area that contains the address; guard pages belong to none. */
  find(address: bigint): VmArea | undefined;
  /**
   * vmalloc_to_page: frame behind an address on the lowest holder, the same whoever asks; NONE for a hole.
   * @patch 10/12 mm/vmalloc.c vmalloc_to_page
   */
  toFrame(address: bigint): Frame;
  /** Frame behind an address on a node; NONE for a hole. @patch 03/12 mm/memory.c walk_to_page_node */
  toFrameOn(node: NodeId, address: bigint): Frame;
  /** set_vm_flush_reset_perms. */
  resetPermissions(area: VmArea): void;
  /**
   * Tells the leak tracker of an area that was asked for with `deferTracking`; of any other it knows.
   * @source mm/kasan/shadow.c kasan_alloc_module_shadow
   */
  track(area: VmArea): void;
  /**
   * Gives every holder a copy of its own, after the last direct write and before the first execution.
   * @patch 10/12 mm/vmalloc.c __vmalloc_node_replicate_range
   * @throws VmallocError no-area, not-in-window, not-owned, already-replicated
   */
  replicate(area: VmArea): ReplicationOutcome;
  /**
   * As {@link replicate} for several areas with one flush at the end; each succeeds or stays shared by itself.
   * @returns outcomes in the order given
   */
  replicateAll(areas: readonly VmArea[]): readonly ReplicationOutcome[];
  /**
   * Direct write through the mapping, before replication.
   * @throws InvariantError when the area is replicated or the range leaves it
   */
  write(area: VmArea, offset: number, bytes: Uint8Array): void;
  /** What a CPU of the node reads. @throws InvariantError when the range leaves the area */
  read(node: NodeId, area: VmArea, offset: number, into: Uint8Array): void;
  /** Areas in address order. */
  areas(): readonly VmArea[];
  readonly counters: VmallocCounters;
  readonly leaks: LeakTracker;
}
export const Vmalloc = token<Vmalloc>("vmalloc/Vmalloc");

/**
 * An area as module_alloc makes it, through which everything in the window of Linux 6.5 for x86 comes: modules, BPF
 * images, slots of kprobes, trampolines. The leak tracker is told when the area has its shadow, not before.
 * @source arch/x86/kernel/module.c module_alloc; mm/kasan/shadow.c kasan_alloc_module_shadow
 * @throws VmallocError as {@link Vmalloc.allocate}
 */
export function moduleArea(vmalloc: Vmalloc, request: Omit<AreaRequest, "deferTracking">): VmArea {
  const area = vmalloc.allocate({ ...request, deferTracking: true });
  vmalloc.track(area);
  return area;
}

/** A run of frames as it came from the page allocator and must go back to it. */
export interface FrameBlock {
  readonly frame: Frame;
  readonly order: number;
}

/** A copy in the making: its frames, one a page, and the blocks they came in. */
export interface AreaCopy {
  readonly node: NodeId;
  readonly frames: Frame[];
  readonly blocks: FrameBlock[];
}

/** An area and the holders that need a copy of it. */
export interface ReplicationJob {
  readonly area: VmArea;
  readonly targets: readonly NodeId[];
}

/** How copies of areas come into being. Bindings: mapOver (ours), unmapThenMap (as the series does it). */
export interface AreaReplicator {
  /**
   * Makes and maps a copy of each area for every holder of its `targets`, and flushes; the caller does the accounting.
   * @returns the copies by job; undefined for a job for which memory gave out
   */
  replicate(jobs: readonly ReplicationJob[]): readonly (readonly AreaCopy[] | undefined)[];
}
export const AreaReplicator = token<AreaReplicator>("vmalloc/AreaReplicator");

/**
 * What is flushed when the direct-map aliases of a freed area change back. Bindings: everyCopy (ours), baseCopyOnly
 * (D7).
 */
export interface AliasFlush {
  /** Frames whose direct-map addresses must be flushed. */
  framesToFlush(area: VmArea): Iterable<Frame>;
}
export const AliasFlush = token<AliasFlush>("vmalloc/AliasFlush");

/** Keeps the per-node page counts. Bindings: exact (ours), forgetful (N3). */
export interface PageAccount {
  add(frames: readonly Frame[], copy: "base" | "replica"): void;
  remove(frames: readonly Frame[], copy: "base" | "replica"): void;
  pages(node: NodeId): number;
}
export const PageAccount = token<PageAccount>("vmalloc/PageAccount");

/** KASAN's shadow of an area, on every node. Bindings: noShadow, kasanShadow. */
export interface ShadowMemory {
  /** @returns false when memory gave out; nothing is kept then */
  cover(range: PageRange, node: NodeId): boolean;
  uncover(range: PageRange): void;
  /** Alignment an area needs so that its shadow begins on a page; 1 when any will do. */
  readonly align: bigint;
}
export const ShadowMemory = token<ShadowMemory>("vmalloc/ShadowMemory");

/**
 * Bits that an area's requests are kept as, 0 for one that the kernel has no use for. Bindings: own (ours), shared with
 * another (D12).
 */
export interface AreaBits {
  /** The same frame in every node's own tables. @patch 10/12 include/linux/vmalloc.h VM_NUMA_SHARED */
  readonly shared: number;
  /** The leak tracker is told later. @source include/linux/vmalloc.h VM_DEFER_KMEMLEAK */
  readonly deferTracking: number;
}
export const AreaBits = token<AreaBits>("vmalloc/AreaBits");

/** Numbers the kernel computes at boot. */
export interface VmallocLimits {
  /** Pages freed lazily before a flush. @source mm/vmalloc.c lazy_max_pages: 32 MiB times the bits of the CPU count */
  readonly lazyPages: number;
}
export const VmallocLimits = token<VmallocLimits>("vmalloc/VmallocLimits");
