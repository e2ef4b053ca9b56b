/** Kernel mappings and what changes them: interfaces and token. */
import { token } from "@kreplica/di";
import type { Frame, NodeId, PageRange } from "@kreplica/hw-x86/api";

/** What a leaf says, beside its frame. */
export interface Protection {
  readonly writable: boolean;
  readonly executable: boolean;
  readonly global: boolean;
  readonly user: boolean;
  readonly present: boolean;
  /** Memory type. */
  readonly cache: "wb" | "wt" | "uc-" | "uc" | "wc";
  /**
   * Whether the machine's encryption bit is set, where it has one; absent: it is. Devices are behind entries without.
   */
  readonly encrypted?: boolean;
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
  /** What {@link editLazily} changed and nothing flushed since: CPUs may hold what was there. For checks. */
  readonly unflushed: readonly PageRange[];
  /** One shootdown of a range on every CPU that may hold it. */
  flush(range: PageRange): void;
  /** One shootdown of several ranges: page by page while they are few pages in all, everything otherwise. */
  flushRanges(ranges: readonly PageRange[]): void;
  /**
   * Gives back the empty tables that stand where 2 MiB leaves are to go, once no CPU can walk them any more. Linux:
   * pmd_free_pte_page.
   * @param range whole 2 MiB
   * @returns whether 2 MiB leaves fit now; false, with nothing changed, where a leaf or a table in use is in the way
   */
  makeRoomForLarge(range: PageRange): boolean;
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
   * @throws MmError already-mapped, misaligned
   */
  map(address: bigint, mapping: Mapping): boolean;
  /**
   * The same address, in the window, to a different frame on each holder; the boot table gets the master's.
   * @param frames by node id of the holder
   */
  mapPerNode(address: bigint, mapping: Omit<Mapping, "frame">, frames: (node: NodeId) => Frame): boolean;
  /** Removes a leaf; a hole stays a hole. Table pages stay. */
  unmap(address: bigint, level: 1 | 2 | 3): void;
  /**
   * Splits larger leaves where the range ends inside one; holes are passed over. With `alias`, the frames' direct-map
   * view follows in W and G (Linux: cpa_process_alias).
   * @returns false when a table page could not be had; nothing is changed then
   */
  protect(range: PageRange, change: Partial<Protection>, alias?: boolean): boolean;
  /**
   * Points existing leaves of text or rodata at other frames, protection kept.
   * @param frames by page index and node id of the holder; undefined leaves a holder alone
   */
  repoint(range: PageRange, frames: (page: number, node: NodeId) => Frame | undefined): boolean;
  /**
   * Runs several of these changes so that all happen or none: what was done is taken back when `change` returns false
   * or throws.
   */
  together(change: () => boolean): boolean;
}
