/** Memory that comes and goes while the kernel runs: interface and token. */
import { token } from "@kreplica/di";
import type { CpuId, NodeId } from "@kreplica/hw-x86/api";

/**
 * What taking a node's memory away came to. `kernel-memory`: something there cannot be moved, a table or what the
 * kernel keeps, or somebody took a frame meanwhile; `no-room`: other nodes have none for its users' pages. Linux: EBUSY
 * for both.
 */
export type RemovalOutcome = "done" | "kernel-memory" | "no-room";

/** Memory that comes and goes while the kernel runs. */
export interface MemoryHotplug {
  /** Nodes whose memory is there and not in use yet. */
  readonly offline: ReadonlySet<NodeId>;
  /**
   * Takes a node's memory into use.
   * @returns false when there was no memory for its descriptors or tables; nothing is changed then
   */
  online(node: NodeId): boolean;
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
