/** Memory that comes while the kernel runs: interface and token. */
import { token } from "@kreplica/di";
import type { NodeId } from "@kreplica/hw-x86/api";

/** Memory that comes while the kernel runs. */
export interface MemoryHotplug {
  /** Nodes whose memory is there and not in use yet. */
  readonly offline: ReadonlySet<NodeId>;
  /**
   * Takes a node's memory into use.
   * @returns false when there was no memory for its descriptors or tables; nothing is changed then
   */
  online(node: NodeId): boolean;
}
export const MemoryHotplug = token<MemoryHotplug>("mm-core/MemoryHotplug");
