/** User address spaces: interfaces and tokens, the plans for PGDs, and where the LDT lies. */
import { token } from "@kreplica/di";
import { type AddressRange, type CpuId, type Frame, type NodeId, PAGE, slotRange } from "@kreplica/hw-x86/api";
import type { Mapping } from "../tables/kernel-tables-api.js";

/** A leaf of an address space, as it was found. */
export interface Leaf {
  /** Number of the first page it maps: address / 4096. */
  readonly page: number;
  readonly level: 1 | 2 | 3;
  readonly frame: Frame;
  readonly writable: boolean;
  /** All that it says. */
  readonly mapping: Mapping;
}

/** The tables of one process. */
export interface AddressSpace {
  readonly id: number;
  /** PGD a node's CPUs load for this space. @patch 02/12 include/linux/mm_types.h pgd_numa */
  pgd(node: NodeId): Frame;
  /** Nodes that have a PGD of their own now, the canonical one first. */
  readonly pgdNodes: readonly NodeId[];
  /** Makes a PGD for a node's holder where the plan wants one; the canonical one serves when there is no memory. */
  enter(node: NodeId): void;
  /** Gives a node's PGD back, unless it is the canonical one. @returns whether there was one */
  shrink(node: NodeId): boolean;
  /**
   * Makes the table under the top-level slot of an address, down to PUD level.
   * @returns false when a table page could not be had
   */
  grow(address: bigint, node: NodeId): boolean;
  /** CR3 for a CPU of the node. @param half `user` under KPTI is the second page of the pair, with PCID bit 11 */
  cr3(node: NodeId, half: "kernel" | "user", pcid?: number): bigint;
  /**
   * Installs or replaces a leaf; missing tables come from `node`.
   * @returns false when a table page could not be had; nothing is changed then
   */
  set(address: bigint, mapping: Mapping, node: NodeId): boolean;
  /** Takes a leaf away. @returns what was there */
  clear(address: bigint): Mapping | undefined;
  /** The leaf over an address. One without access has a page all the same, and is found with `present` false. */
  lookup(address: bigint): Mapping | undefined;
  /**
   * The first leaf that maps one of some pages of the lower half, present or not; one that begins before them counts.
   * @param first @param last page numbers: addresses / 4096
   */
  nextLeaf(first: number, last: number): Leaf | undefined;
  /**
   * Replaces a 2 MiB leaf by 512 small ones that say the same. The leaf is made absent first, then every CPU forgets
   * it, then the table is linked: processors may raise a machine check where a fetch meets translations of two sizes.
   * @param flush of what the leaf maps, done in between; not where the leaf was absent
   * @returns false when a table page could not be had
   * @source Linux 6.5 mm/huge_memory.c __split_huge_pmd_locked
   */
  splitLarge(address: bigint, node: NodeId, flush: () => void): boolean;
  /**
   * Unlinks tables that map nothing any more in a range; a top-level slot leaves every PGD.
   * @returns their frames, to be freed once no CPU can walk them: after the flush
   */
  trim(range: AddressRange): Frame[];
  /** Takes over kernel slots that its holders' roots got after it was made. @source sync_global_pgds */
  followKernel(): void;
  /**
   * Maps an LDT's pages at one of two places of its slot, in both halves of every PGD, read-only and the kernel's;
   * nothing without KPTI.
   * @param frames 1 to {@link LDT_PAGES}, whose owner the caller stays
   * @param node missing tables come from there
   * @returns false when a table page could not be had; nothing is changed then
   */
  mapLdt(frames: readonly Frame[], place: LdtPlace, node: NodeId): boolean;
  /** Takes those of a place away, tables stay. The caller flushes before the frames are used again. */
  unmapLdt(place: LdtPlace): void;
  /** Loads the space on a CPU, with PCID 0. */
  load(cpu: CpuId): void;
  /** One more CPU that comes back to the PGDs. Linux: mmgrab */
  hold(): void;
  /**
   * One less; the last lets go of the PGDs of a space that was freed meanwhile. Linux: mmdrop
   * @throws InvariantError when none holds it
   */
  release(): void;
  /** Gives every table page back, PGDs as soon as no CPU holds them; leaves' frames stay with their owner. */
  free(): void;
}

/** Makes address spaces. */
export interface AddressSpaces {
  /**
   * @patch 07/12 arch/x86/mm/pgtable.c pgd_alloc
   * @param node where it is asked for, the current CPU's when absent; the one PGD of a kernel with one holder lies
   *   there
   * @returns undefined when a PGD could not be had; nothing is kept then
   */
  create(node?: NodeId, parent?: AddressSpace): AddressSpace | undefined;
  /** Spaces alive. */
  readonly all: ReadonlySet<AddressSpace>;
}
export const AddressSpaces = token<AddressSpaces>("mm-core/AddressSpaces");

/**
 * For what is laid over {@link AddressSpaces}: changes every space as it is made.
 * @returns the same spaces
 */
export function eachNewSpace(spaces: AddressSpaces, change: (space: AddressSpace) => void): AddressSpaces {
  const create = spaces.create.bind(spaces);
  spaces.create = (...given) => {
    const space = create(...given);
    if (space) change(space);
    return space;
  };
  return spaces;
}

/** Which holders get a PGD for a space, and when. */
export interface PgdPlan {
  readonly name: string;
  /** Holders that get one at once; not empty. @param creator holder nearest to the CPU that asks */
  initial(holders: readonly NodeId[], creator: NodeId): readonly NodeId[];
  /** Whether a holder gets its own at the first switch there. */
  readonly growing: boolean;
}
export const PgdPlan = token<PgdPlan>("mm-core/PgdPlan");

/** The series': one for every holder at once. */
export const EAGER_PGDS: PgdPlan = { name: "eager", initial: (holders) => holders, growing: false };
/** What reviewers asked for: one where the space is made, others at the first switch. */
export const LAZY_PGDS: PgdPlan = { name: "lazy", initial: (_holders, creator) => [creator], growing: true };
/** One for good, of the node where the space is made: threads elsewhere run that node's copy of the kernel. */
export const HOME_PGDS: PgdPlan = { name: "home", initial: (_holders, creator) => [creator], growing: false };

/**
 * Order of a PGD's allocation: two pages, both cleared, in every kernel built with KPTI, though one booted without uses
 * the first alone.
 * @source CONFIG_PAGE_TABLE_ISOLATION and PGD_ALLOCATION_ORDER of arch/x86/include/asm/pgalloc.h (6.1, 6.5); Debian's
 *   kernels and the port have it
 */
export const PGD_ORDER = 1;
/** Pages of a PGD: the kernel's half and, behind it, the user's. */
export const PGD_PAGES = 2;

/** PGD slot of the LDT remap area. @source Documentation/arch/x86/x86_64/mm.rst */
export const LDT_SLOT = 272;

/**
 * An LDT of 8192 descriptors of 8 bytes. A changed one is mapped at the place where the old one is not.
 * @source Linux 6.5 arch/x86/kernel/ldt.c
 */
export const LDT_PAGES = 16;
/** One of the two places an LDT may lie at: a new one goes where the old one is not. */
export type LdtPlace = 0 | 1;

/** First address of a place for an LDT. */
export const ldtAddress = (levels: 4 | 5, place: LdtPlace): bigint =>
  slotRange(levels, LDT_SLOT, LDT_SLOT).start + BigInt(place * LDT_PAGES) * PAGE;
