/**
 * Boots under three policies on the machine, and says what copies cost, and from how far each node's CPUs read text.
 */
import { boot } from "@kreplica/bench";
import { expander } from "./expander.js";

const ids = expander.nodes.map(({ id }) => id);
const latency = (from: number, to: number): number => expander.latencyNs[ids.indexOf(from)]![ids.indexOf(to)]!;

for (const policy of ["single-copy", "per-node", "per-socket"]) {
  const { image, machine, tables, view, memory } = boot({ spec: expander, policy });
  const reads = machine.nodes
    .filter((node) => machine.cpuIds.some((cpu) => machine.nodeOfCpu(cpu) === node))
    .map((node) => {
      const leaf = tables.lookup(view.nearest(node), image.stext)!;
      return `node ${node} in ${latency(node, machine.memory.nodeOf(leaf.frame))} ns`;
    });
  const { perNode } = memory();
  console.log(`${policy}: copies on nodes ${view.holders.join(", ")}; text is read by ${reads.join(", ")}`);
  for (const { node, textBytes } of perNode) {
    const cpus = machine.cpuIds.filter((cpu) => machine.nodeOfCpu(cpu) === node).length;
    if (textBytes > 0 && cpus === 0)
      console.log(`  ${textBytes / 2 ** 20} MiB of text on node ${node}, which no CPU is near to`);
  }
}
