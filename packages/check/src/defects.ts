/** One defect laid over a checked kernel, and the machine on which it shows where it does not on every one. */
import { type Kernel, kernelFrom, type KernelSource } from "@kreplica/kernel";
import type { SeriesDefect } from "@kreplica/series-as-posted";

/**
 * Of three nodes and more, the second is too small for a copy of the small kernel, and neighbours have the room. Memory
 * that comes later would be taken for a holder's.
 */
function withSmallNode(kernel: Kernel): Kernel {
  const { offlineMemory = [], spec } = kernel.choices;
  const nodes = spec.nodes.map((node) => (offlineMemory.includes(node.id) ? { ...node, memoryBytes: 0 } : node));
  const few = nodes.filter((node) => node.memoryBytes > 0).length < 3;
  return kernel.with({
    offlineMemory: [],
    spec: {
      ...spec,
      nodes: few ? nodes : nodes.map((node) => (node.id === 1 ? { ...node, memoryBytes: 8 * 2 ** 20 } : node)),
    },
  });
}

/** A kernel with a defect laid over the corrected series. */
export const withDefect = (source: KernelSource, defect: SeriesDefect): Kernel => {
  const given = kernelFrom(source);
  return (defect.configuration === "small node" ? withSmallNode(given) : given).with({ defects: [defect] });
};
