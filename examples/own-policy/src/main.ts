/**
 * Boots a machine of two large nodes and two small ones under each policy, and says who holds copies and what they
 * take.
 */
import { boot, preset } from "@kreplica/bench";
import { onlyAbove, onlyOn } from "./policies.js";

const base = preset("xeon-8280-4s")!;
/** Nodes 2 and 3 have half a GiB each. */
const spec = { ...base, nodes: base.nodes.map((node) => (node.id < 2 ? node : { ...node, memoryBytes: 2 ** 29 })) };

for (const policy of ["per-node", onlyAbove(1), onlyOn(0, 3)]) {
  const kernel = boot({ spec, policy });
  const { checked, violated } = kernel.checkInvariants();
  const extra = Math.round(kernel.memory().extraBytes / 2 ** 20);
  console.log(
    `${kernel.view.name}: copies on nodes ${kernel.view.holders.join(", ")}, ${extra} MiB more than one copy`,
  );
  for (const node of kernel.machine.nodes)
    if (!kernel.view.holders.includes(node))
      console.log(`  node ${node} runs the copy of node ${kernel.view.nearest(node)}`);
  console.log(`  ${checked.length - violated.length} of ${checked.length} invariants checked hold`);
}
