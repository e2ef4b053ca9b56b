/** Copies that come and go while the kernel runs: interface and tokens. */
import { token } from "@kreplica/di";
import type { Frame, NodeId } from "@kreplica/hw-x86/api";

/** What a count came to: the node has no copy and waits on, got one, was refused one, has one, or gave it back. */
export type DemandOutcome = "waits" | "copied" | "refused" | "kept" | "given back";

/** Who waited how long for the master's text, and who has a copy of his own for that. */
export interface DemandCopies {
  /**
   * CPUs that use a node's tables waited so many cycles since the last count for text of the master's memory, beyond
   * what they would have for their own node's; or, where it has a copy, so many less than without.
   * @param node of the CPUs
   * @param cycles at least 0
   * @returns undefined for a node that runs the master's tables, and before the kernel runs: nothing is counted
   */
  counted(node: NodeId, cycles: number): DemandOutcome | undefined;
  /**
   * A node gets a copy of its own now, whatever it has waited.
   * @param node that has tables of its own
   * @param copied told of each page of text behind its copying, while the direct map still lets both be accessed
   * @returns whether it came; not where there is one, where memory is refused, or while text is being written
   */
  give(node: NodeId, copied?: (from: Frame, to: Frame) => void): boolean;
  /**
   * Memory is wanted: a node's copy goes, whatever it saves.
   * @returns whether it went; not where there is none, or while text is being written
   */
  giveBack(node: NodeId): boolean;
  /** Cycles a node has waited since the boot, or since its last copy came. */
  waited(node: NodeId): number;
  /** A copy that saved fewer cycles between two counts goes. */
  readonly keep: number;
  /** Cycles after which a node gets a copy. */
  price(node: NodeId): number;
}
export const DemandCopies = token<DemandCopies>("numa-replication/DemandCopies");

/** Which nodes have copies now. */
export interface CopiesNow {
  /** Ascending; the master not among them. */
  nodes: readonly NodeId[];
}
export const CopiesNow = token<CopiesNow>("numa-replication/CopiesNow");
