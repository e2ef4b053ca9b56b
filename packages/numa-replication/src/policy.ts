/** What a replication policy decides, as data: who holds copies, and of what. */
import { token } from "@kreplica/di";
import type { Machine, NodeId } from "@kreplica/hw-x86/api";
import type { Alignment, ChooseHolders } from "@kreplica/mm-core/api";

/** Pages of 4 KiB in a row, counted from the first of the kernel's text. */
export interface PageRun {
  readonly first: number;
  /** At least one. */
  readonly pages: number;
}

/** @returns pages in runs that ascend and are apart from each other */
export function runsOf(pages: Iterable<number>): PageRun[] {
  const runs: { first: number; pages: number }[] = [];
  for (const page of [...pages].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && page === last.first + last.pages) last.pages++;
    else runs.push({ first: page, pages: 1 });
  }
  return runs;
}

/** When a holder gets its copy of text, and when it goes. Cycles are those of the holder's CPUs. */
export interface OnDemand {
  /**
   * Cycles that CPUs have to have waited for the master's text, beyond what they would have for their own node's,
   * before it is copied. @param pages of 4 KiB to be copied
   */
  readonly price: (machine: Machine, node: NodeId, master: NodeId, pages: number) => number;
  /** A copy that saved less than so many cycles between two counts goes; 0: none does of itself. */
  readonly keep: number;
}

/** A replication policy: who holds copies, and of what. */
export interface ReplicationPolicy {
  /** As `kreplica policies` lists it. */
  readonly name: string;
  readonly summary: string;
  /** What each holder gets a copy of. */
  readonly copies: { readonly text: boolean; readonly rodata: boolean };
  /** Pages of text that are copied, on every holder the same; all of it where absent. */
  readonly textPages?: readonly PageRun[];
  /** Copies of text come one by one while the kernel runs, none at boot; all at boot where absent. Not of rodata. */
  readonly onDemand?: OnDemand;
  /** Where text and rodata end; as patch 06 fills them where absent. */
  readonly alignment?: Alignment;
  readonly chooseHolders: ChooseHolders;
  /** Nodes that use a copy of their own group's, whatever is nearer; all use the nearest when absent. */
  readonly groups?: (machine: Machine, master: NodeId, copyBytes: number) => readonly (readonly NodeId[])[];
}
export const ReplicationPolicy = token<ReplicationPolicy>("numa-replication/ReplicationPolicy");

/** Nodes that have memory. */
export const memoryNodes = (machine: Machine): NodeId[] =>
  [...new Set(machine.memory.ranges.map((range) => range.node))].sort((a, b) => a - b);

const BOTH = { text: true, rodata: true } as const;

/** Text and rodata on every node with memory: the series' idea, corrected. The default. */
export const PER_NODE: ReplicationPolicy = {
  name: "per-node",
  summary: "a copy of text and rodata on every node with memory, the series' defects corrected",
  copies: BOTH,
  chooseHolders: memoryNodes,
};

/** Text alone. */
export const TEXT_ONLY: ReplicationPolicy = {
  name: "text-only",
  summary: "as per-node, with one rodata for all",
  copies: { text: true, rodata: false },
  chooseHolders: memoryNodes,
};

/**
 * Text that somebody's work touches, on every node with memory; the rest of it, and rodata, stay the master's. Every
 * 2 MiB of text with a copied page and one that is not is mapped by leaves of 4 KiB on the holders.
 * @param textPages what is copied; pages beyond the end of a kernel's text mean nothing
 */
export const hotSubset = (textPages: readonly PageRun[], name = "hot-subset"): ReplicationPolicy => ({
  name,
  summary: "as text-only, of the pages of text alone that are named",
  copies: { text: true, rodata: false },
  textPages,
  // What patch 06 fills is there to be copied by whole leaves: here small ones do.
  alignment: "recorded",
  chooseHolders: memoryNodes,
});

/**
 * Text on every node that has waited for the master's longer than a copy costs, as long as it is worth it: tables on
 * every node with memory from the boot on, leaves that lead to the master's text until then.
 */
export const whenItPays = (onDemand: OnDemand, name = "on-demand"): ReplicationPolicy => ({
  name,
  summary: "a node gets its copy of text when it has waited for the master's longer than a copy costs",
  copies: { text: true, rodata: false },
  onDemand,
  chooseHolders: memoryNodes,
});

/**
 * A copy on every n-th node with memory, counted from the master, as IRIX's numa_kernel_replication_ratio.
 * @param nth at least 1
 */
export const everyNth = (nth: number, name = "every-nth"): ReplicationPolicy => ({
  name,
  summary: `a copy on one in ${nth} nodes with memory, counted from the master`,
  copies: BOTH,
  chooseHolders(machine, master) {
    const nodes = memoryNodes(machine);
    const start = nodes.indexOf(master);
    return nodes.filter((_, index) => (((index - start) % nth) + nth) % nth === 0);
  },
});

/**
 * One copy for every socket that has CPUs, on its first node with memory; the master's serves its own socket. A node
 * without CPUs runs no kernel text and gets none.
 */
export const perSocket = (): ReplicationPolicy => ({
  name: "per-socket",
  summary: "one copy a socket, on its first node with memory",
  copies: BOTH,
  chooseHolders(machine, master) {
    const sockets = (node: NodeId): number[] =>
      machine.spec.cpus.filter((cpu) => cpu.node === node).map((cpu) => cpu.socket);
    const holders = [master];
    const served = new Set(sockets(master));
    for (const node of memoryNodes(machine)) {
      if (sockets(node).every((socket) => served.has(socket))) continue;
      holders.push(node);
      for (const socket of sockets(node)) served.add(socket);
    }
    return holders;
  },
});
