/** A node as a tool told of it, and what is wrong between several. */

/** What a tool said about one node. */
export interface FoundNode {
  readonly id: number;
  /** Ascending; empty for a memory-only node. */
  readonly cpus: readonly number[];
  /** Where it is known: the first so many CPUs are cores, the others second threads of theirs in order. */
  readonly cores?: number;
  /** As printed; rounded down to 2 MiB here. */
  readonly memoryBytes: number;
}

/** What is wrong with a distance of 255 between a node with CPUs and one with memory. */
export const cutOff = (from: number, to: number): { readonly reason: string; readonly remedy: string } => ({
  reason: `node ${to} has memory that the CPUs of node ${from} cannot reach (255)`,
  remedy: "leave the node out, or write the distance its memory really has",
});

/** CPUs that two nodes list, the first of each pair of nodes: the node where it is again, and the one before. */
export function sharedCpus<N extends Pick<FoundNode, "id" | "cpus">>(
  nodes: readonly N[],
): { readonly cpu: number; readonly node: N; readonly before: number }[] {
  const home = new Map<number, number>();
  return nodes.flatMap((node) => {
    const shared = new Map<number, number>();
    for (const cpu of node.cpus) {
      const before = home.get(cpu);
      if (before === undefined) home.set(cpu, node.id);
      else if (!shared.has(before)) shared.set(before, cpu);
    }
    return [...shared].map(([before, cpu]) => ({ cpu, node, before }));
  });
}
