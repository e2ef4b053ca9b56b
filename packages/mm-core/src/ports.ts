/**
 * The ports between the kernel's subsystems: page allocator, image, layout, tables and the replica view, with their
 * tokens.
 *
 * The series declares its interface twice, once real and once as stubs (include/linux/numa_replication.h, patch 03/12).
 * Here that is ReplicaView with several bindings: no subsystem asks whether replication is on, it loops over `holders`.
 */
import { token } from "@kreplica/di";
import type { CpuId, Frame, NodeId } from "@kreplica/hw-x86/api";

/** Allocation flags that decide anything in the model. @patch 01/12 include/linux/gfp.h */
export interface Gfp {
  /** Only from the node asked for: __GFP_THISNODE. */
  readonly thisNode?: boolean;
  /** Cleared before it is handed out: __GFP_ZERO. */
  readonly zero?: boolean;
  /** May dip into the reserve: __GFP_HIGH. */
  readonly high?: boolean;
  /** What the frames are for, in accounting and dumps. */
  readonly purpose: FramePurpose;
}
/** What a frame was taken for. */
export type FramePurpose = "page-table" | "text" | "rodata" | "data" | "user" | "module" | "kernel";

/**
 * Page frames per node in powers of two. Served by memblock until the buddy lists are up, as alloc_pages and memblock
 * are in Linux.
 */
export interface PageAllocator {
  /**
   * Takes over from memblock: what {@link BootMemory.handOver} gives is free from now on. The boot calls it once.
   * @source Documentation/core-api/boot-time-mm.rst
   */
  start(): void;
  /**
   * First frame of 2^order, aligned to its size, on the node or the nearest that has some; NONE when refused.
   * @patch 01/12 mm/page_alloc.c __get_free_pages_node
   * @param order 0 to 10
   */
  allocate(node: NodeId, order: number, gfp: Gfp): Frame;
  /** Gives back what {@link allocate} returned, with the same order. @throws InvariantError for anything else */
  free(frame: Frame, order: number): void;
  /** Whether {@link free} would take it: for callers that replace tables others may have made. */
  owns(frame: Frame, order: number): boolean;
  /**
   * What a frame was handed out for, as part of an allocation of any order; `free` while it lies in the free lists.
   * Undefined for what never was the allocator's: memory of early boot, the image, frames set aside.
   */
  purposeOf(frame: Frame): FramePurpose | "free" | undefined;
  /** Makes one allocation into 2^order of a single frame each. @source split_page */
  split(frame: Frame, order: number): void;
  /** Frames that were never handed out and now may be: freed init memory, the tails of text and rodata. */
  donate(first: Frame, frames: number): void;
  /** Takes one named frame out of the free lists, as an order-0 allocation. @returns false when it is not free */
  claim(frame: Frame, purpose: FramePurpose): boolean;
  /** Frames free now, by node id. */
  freeFrames(node: NodeId): number;
  /** Frames handed out, by node id and purpose; memblock's included. */
  usedFrames(node: NodeId, purpose: FramePurpose): number;
  /**
   * Makes the n-th allocation from now (1 is the next) and, when `repeat`, every later one fail; 0 switches it off.
   * Tests refuse every n.
   */
  refuse(nth: number, repeat?: boolean): void;
  /** Allocations asked for since boot. */
  readonly requests: number;
}
export const PageAllocator = token<PageAllocator>("mm-core/PageAllocator");

/** The allocator of early boot. @source Documentation/core-api/boot-time-mm.rst */
export interface BootMemory {
  /**
   * First frame of a run, taken from the top of the node's memory; another node's when the node has none left and
   * `exact` is not set.
   * @param align in frames, a power of two
   * @returns NONE when refused
   * @throws InvariantError after {@link handOver}
   */
  allocate(node: NodeId, frames: number, align: number, purpose: FramePurpose, exact?: boolean): Frame;
  /** Takes a named run out of what can be allocated. Parts outside memory are ignored. */
  reserve(first: Frame, frames: number, purpose?: FramePurpose): void;
  /** Gives back a run that {@link allocate} gave out. */
  release(first: Frame, frames: number, purpose: FramePurpose): void;
  /** Frames free now, by node id. */
  freeFrames(node: NodeId): number;
  usedFrames(node: NodeId, purpose: FramePurpose): number;
  /** Ends early boot. @returns what is free, in address order, to be given to the buddy lists */
  handOver(): readonly { readonly node: NodeId; readonly first: Frame; readonly frames: number }[];
  readonly active: boolean;
}
export const BootMemory = token<BootMemory>("mm-core/BootMemory");

/** What a run of the kernel image holds. */
export type SectionKind = "text" | "rodata" | "data" | "init" | "bss" | "brk";

/** A run of the image with one purpose; addresses as linked, before KASLR. */
export interface ImageSection {
  readonly name: string;
  readonly kind: SectionKind;
  readonly start: bigint;
  /** First byte behind it. */
  readonly end: bigint;
  readonly writable: boolean;
  readonly executable: boolean;
}

/** A run of one-byte no-ops: padding in a site of the alternatives. */
export interface NoOps {
  /** As linked. */
  readonly address: bigint;
  readonly bytes: number;
}

/** A kernel image: where everything lies, and its bytes when it has them. All addresses as linked. */
export interface KernelImage {
  /** One-byte no-ops in text that the kernel makes long ones while it boots, ascending; unknown where absent. */
  readonly noOps?: readonly NoOps[];
  readonly name: string;
  readonly sections: readonly ImageSection[];
  /** Replicated text is [stext, etext), replicated rodata [startRodata, endRodata); patch 06 puts all four on 2 MiB. */
  readonly stext: bigint;
  readonly etext: bigint;
  readonly startRodata: bigint;
  readonly endRodata: bigint;
  /** Freed after boot: [initBegin, initEnd). */
  readonly initBegin: bigint;
  readonly initEnd: bigint;
  /** First byte behind .bss and .brk. */
  readonly end: bigint;
  /** Address of a symbol as linked, or undefined. */
  symbol(name: string): bigint | undefined;
  /** 4096 bytes of the page at a linked address; synthetic but position-dependent where the image carries none. */
  readPage(address: bigint, into: Uint8Array): void;
  /** Whether readPage gives the real bytes. */
  readonly hasBytes: boolean;
}
export const KernelImage = token<KernelImage>("mm-core/KernelImage");

/** Kernel virtual address map. @source Documentation/arch/x86/x86_64/mm.rst */
export interface KernelLayout {
  readonly levels: 4 | 5;
  readonly pti: boolean;
  /** Added to linked image addresses: KASLR, a multiple of 2 MiB. */
  readonly imageOffset: bigint;
  /** Physical address of the byte at _text; independent of {@link imageOffset}. */
  readonly imagePhysical: bigint;
  readonly pageOffset: bigint;
  readonly vmallocStart: bigint;
  /** Last byte. */
  readonly vmallocEnd: bigint;
  readonly vmemmapStart: bigint;
  readonly cpuEntryArea: bigint;
  readonly espfix: bigint;
  readonly kernelMap: bigint;
  readonly modulesStart: bigint;
  /** First byte behind the modules. */
  readonly modulesEnd: bigint;
  readonly fixmapStart: bigint;
  /**
   * First and last byte of KASAN's shadow, and whether areas of vmalloc have shadow of their own
   * (CONFIG_KASAN_VMALLOC); undefined in a kernel without.
   */
  readonly kasan?: { readonly start: bigint; readonly end: bigint; readonly vmalloc: boolean };
  /** PGD index from which slots belong to the kernel and are cloned: 273 without memory KASLR. */
  readonly kernelBoundary: number;
}
export const KernelLayout = token<KernelLayout>("mm-core/KernelLayout");

/** What a leaf says, beside its frame. */
export interface Protection {
  readonly writable: boolean;
  readonly executable: boolean;
  readonly global: boolean;
  readonly user: boolean;
  readonly present: boolean;
  /** Memory type. */
  readonly cache: "wb" | "wt" | "uc-" | "uc" | "wc";
}
/** One leaf: frame, size and protection. */
export interface Mapping extends Protection {
  readonly frame: Frame;
  /** 1: 4 KiB, 2: 2 MiB, 3: 1 GiB. */
  readonly level: 1 | 2 | 3;
}

/** Kernel mappings, the same operation on every holder that needs it. Flushes are collected by {@link edit}. */
export interface KernelTables {
  /** Root (frame of the PGD) a node's CPUs run init_mm on. */
  root(node: NodeId): Frame;
  /** What the tables a node uses say about an address; undefined for a hole or a leaf that is not present. */
  lookup(node: NodeId, address: bigint): Mapping | undefined;
  /**
   * Runs `change`, then flushes what it touched on all CPUs that may hold it. The only way to change a live mapping.
   */
  edit<T>(change: (editor: TableEditor) => T): T;
  /**
   * As {@link edit} without the flush: the caller owes {@link flush} before an address or frame it took away is used
   * again. For lazy unmapping.
   */
  editLazily<T>(change: (editor: TableEditor) => T): T;
  /** One shootdown of [start, end) on every CPU that may hold it. */
  flush(start: bigint, end: bigint): void;
  /** One shootdown of several ranges: page by page while they are few pages in all, everything otherwise. */
  flushRanges(ranges: readonly { readonly start: bigint; readonly pages: number }[]): void;
  /**
   * Gives back the empty tables that stand where 2 MiB leaves are to go, once no CPU can walk them any more. Linux:
   * pmd_free_pte_page.
   * @param start on 2 MiB @param pages a multiple of 512
   * @returns whether 2 MiB leaves fit now; false, with nothing changed, where a leaf or a table in use is in the way
   */
  makeRoomForLarge(start: bigint, pages: number): boolean;
  /** Shootdowns issued since boot. */
  readonly flushes: number;
  /** Table stores issued so far, in total and in addition to those a single copy would need. */
  readonly stores: { readonly total: number; readonly replica: number };
}
export const KernelTables = token<KernelTables>("mm-core/KernelTables");

/**
 * Changes to kernel mappings; each goes to every root whose tables are private at that address, the boot table
 * included.
 */
export interface TableEditor {
  /**
   * @returns false when a table page could not be had; nothing is changed then
   * @param only on this holder alone, the counterpart of {@link unmap}'s: vmap_pages_range_noflush_pgd of patch 10/12
   * @throws MmError already-mapped, misaligned
   */
  map(address: bigint, mapping: Mapping, only?: NodeId): boolean;
  /**
   * The same address, in the window, to a different frame on each holder; the boot table gets the master's.
   * @param frames by node id of the holder
   */
  mapPerNode(address: bigint, mapping: Omit<Mapping, "frame">, frames: (node: NodeId) => Frame): boolean;
  /**
   * Removes a leaf; a hole stays a hole. Table pages stay.
   * @param only on this holder alone, which makes a hole there: vunmap_range_noflush_pgd of patch 10/12, for variants
   *   that reproduce the series
   */
  unmap(address: bigint, level: 1 | 2 | 3, only?: NodeId): void;
  /**
   * Splits larger leaves where the range ends inside one; holes are passed over. With `alias`, the frames' direct-map
   * view follows in W and G (Linux: cpa_process_alias).
   * @returns false when a table page could not be had; nothing is changed then
   */
  protect(start: bigint, pages: number, change: Partial<Protection>, alias?: boolean): boolean;
  /**
   * Points existing leaves of text or rodata at other frames, protection kept.
   * @param frames by page index and node id of the holder; undefined leaves a holder alone
   */
  repoint(start: bigint, pages: number, frames: (page: number, node: NodeId) => Frame | undefined): boolean;
  /**
   * Runs several of these changes so that all happen or none: what was done is taken back when `change` returns false
   * or throws.
   */
  together(change: () => boolean): boolean;
}

/** A top-level table of init_mm that has to agree with the others. */
export interface TableRoot {
  /** Node it serves: the master for the boot table. */
  readonly node: NodeId;
  readonly root: Frame;
  /** `boot`: init_top_pgt, on which CPUs start; `node`: a holder's own. */
  readonly kind: "boot" | "node";
}

/**
 * Who holds copies of the kernel, and when they come into being. Bindings: singleCopy (here), copyPerNode
 * (numa-replication), others.
 */
export interface ReplicaView {
  readonly name: string;
  /**
   * Nodes with tables (and copies) of their own, ascending; one entry while nothing is replicated.
   * @patch 03/12 include/linux/numa_replication.h for_each_replica
   */
  readonly holders: readonly NodeId[];
  /** Node whose frames hold the booted image. */
  readonly master: NodeId;
  /** What each holder has its own copy of; nothing while there is one holder. */
  readonly copies: {
    readonly text: boolean;
    readonly rodata: boolean;
    /** Tables below the user half of its PGD under KPTI; the series shares one holder's (defect D15). */
    readonly userTables?: boolean;
  };
  /** Every root a change to kernel mappings must reach, the boot table first. */
  readonly roots: readonly TableRoot[];
  /** Holder whose tables a node's CPUs use. @patch 03/12 numa_closest_memory_node */
  nearest(node: NodeId): NodeId;
  /** Whether tables differ between holders at this address: the window test. @patch 03/12 numa_addr_has_replica */
  isPrivate(address: bigint): boolean;
  /** Frame behind an address of text or rodata on a holder. */
  replicaFrame(address: bigint, node: NodeId): Frame | undefined;
  /**
   * Where the direct map shows a holder's copy of an address of text; undefined for anything else, while nothing is
   * replicated, and after {@link clearLinearAddresses}. @patch 03/12 numa_addr_in_replica
   */
  addressInReplica(address: bigint, node: NodeId): bigint | undefined;
  /** init_mm's root for a node; before replication the boot table. @patch 03/12 per_numa_pgd */
  kernelRoot(node: NodeId): Frame;
  /**
   * A node has memory that had none. Holders are frozen when room is reserved: it goes on using its nearest (the series
   * let it join without tables, D10).
   */
  memoryAdded?(node: NodeId): void;
  // Boot, in this order; see series.md 0.1. Each is empty for a single copy.
  reserve(): void;
  replicateKernel(): void;
  setupCpu(cpu: CpuId): void;
  replicateRodata(): void;
  clearLinearAddresses(): void;
}
export const ReplicaView = token<ReplicaView>("mm-core/ReplicaView");
