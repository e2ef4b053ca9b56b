/**
 * Who holds copies of the kernel: interface and token.
 *
 * The series declares its interface twice, once real and once as stubs (include/linux/numa_replication.h, patch 03/12).
 * Here that is ReplicaView with several bindings: no subsystem asks whether replication is on, it loops over `holders`.
 */
import { token } from "@kreplica/di";
import type { CpuId, Frame, NodeId, PageRange } from "@kreplica/hw-x86/api";

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
  /**
   * Holders that have copies now, ascending, the master among them: the others' tables name the master's frames, until
   * they are given copies. Every holder where absent.
   */
  readonly copyHolders?: readonly NodeId[];
  /** Node whose frames hold the booted image. */
  readonly master: NodeId;
  /** What each holder has its own copy of, or each of {@link copyHolders}; nothing while that is one. */
  readonly copies: {
    readonly text: boolean;
    readonly rodata: boolean;
    /** Of text only these pages, live addresses, ascending; all of it where absent. */
    readonly textRanges?: readonly PageRange[];
    /** Tables below the user half of its PGD under KPTI; the series shares one holder's (defect D15). */
    readonly userTables?: boolean;
  };
  /**
   * Nodes that share a copy whatever their distances; each uses the nearest holder of its own group, where it has one.
   */
  readonly groups?: readonly (readonly NodeId[])[];
  /**
   * Every root a change to kernel mappings must reach, the boot table first. Roots that a single copy would not have,
   * and private tables below them, are adopted (TableMemory.adopt) before anything is stored in them: that is how
   * stores for copies are told from others.
   */
  readonly roots: readonly TableRoot[];
  /** Holder whose tables a node's CPUs use. @patch 03/12 numa_closest_memory_node */
  nearest(node: NodeId): NodeId;
  /**
   * Whether tables differ between holders at this address: nowhere, while there is one holder. The window test.
   * @patch 03/12 numa_addr_has_replica
   */
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
