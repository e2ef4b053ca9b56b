/** Memory that comes and goes while the kernel runs: interface and token. */
import { token } from "@kreplica/di";
import type { CpuId, Frame, NodeId } from "@kreplica/hw-x86/api";

/**
 * What taking a node's memory away came to. `kernel-memory`: something there cannot be moved, a table or what the
 * kernel keeps, or somebody took a frame meanwhile; `no-room`: other nodes have none for its users' pages. Linux: EBUSY
 * for both.
 */
export type RemovalOutcome = "done" | "kernel-memory" | "no-room";

/**
 * A store of the kernel's to a page descriptor that faulted: the tables its CPU is on have no vmemmap there. In Linux
 * an oops in `__init_single_page`.
 */
export interface DescriptorFault {
  readonly cpu: CpuId;
  /** Whose descriptor it is, and where that was looked for. */
  readonly frame: Frame;
  readonly address: bigint;
}

/** Memory that comes and goes while the kernel runs. */
export interface MemoryHotplug {
  /** Nodes whose memory is there and not in use yet. */
  readonly offline: ReadonlySet<NodeId>;
  /** Stores to descriptors of memory that came that faulted, in their order: none in a sound kernel. */
  readonly descriptorFaults: readonly DescriptorFault[];
  /**
   * Takes a node's memory into use: mapped for all, its descriptors written, given to everybody.
   * @param cpu writes the descriptors, on the tables it has loaded; the current one when absent
   * @returns false when there was no memory for its descriptors or tables; nothing is changed then
   */
  online(node: NodeId, cpu?: CpuId): boolean;
  /**
   * Takes the memory of a node away again that {@link online} brought: users' pages move to other nodes, then direct
   * map and descriptors go, from every root, and nobody's TLB has them when this returns. Where its tables hung is
   * kept, for when memory comes again.
   * @param cpu on which it is asked for
   * @returns what it came to; only with `done` is anything changed, but where users' pages are
   * @throws InvariantError for a node whose memory never came so
   * @source Documentation/admin-guide/mm/memory-hotplug.rst, "Offlining and Removal of Memory Blocks"
   */
  remove(node: NodeId, cpu: CpuId): RemovalOutcome;
}
export const MemoryHotplug = token<MemoryHotplug>("mm-core/MemoryHotplug");
