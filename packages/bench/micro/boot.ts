/// <reference types="node" />
/**
 * Time to boot the traced kernel, its image of 38 MiB copied to every node, by nodes and CPUs; nodes of 512 MiB.
 *
 * In packages/bench: npm run micro -- boot
 *
 * Measured (Node 20.20.2, 2 cores shared with other work at a load of 3, best of four, user time): 64 nodes with 4096
 * CPUs 0.47 to 0.54 s. See docs/speed.md.
 */
import type { MachineSpec } from "@kreplica/hw-x86";
import { smallMachine } from "@kreplica/kernel";
import { boot } from "../src/boot.js";

/** The small machine with more CPUs on each node. */
function machine(nodes: number, cpusEach: number): MachineSpec {
  const spec = smallMachine(nodes);
  const cpus = Array.from({ length: nodes * cpusEach }, (_, id) => ({
    id,
    node: Math.floor(id / cpusEach),
    core: id,
    l3: Math.floor(id / cpusEach),
    socket: Math.floor(id / cpusEach),
  }));
  const withMemory = spec.nodes.map((node) => ({ ...node, memoryBytes: 512 * 2 ** 20 }));
  return { ...spec, nodes: withMemory, name: `${nodes} nodes, ${cpus.length} CPUs`, cpus };
}

for (const [nodes, cpusEach] of [
  [1, 2],
  [2, 2],
  [2, 12],
  [8, 8],
  [16, 16],
  [32, 16],
  [64, 64],
] as const) {
  let best = Infinity;
  let single = Infinity;
  for (let round = 0; round < 2; round++) {
    for (const policy of ["per-node", "single-copy"]) {
      const before = process.cpuUsage();
      boot({ spec: machine(nodes, cpusEach), policy });
      const seconds = process.cpuUsage(before).user / 1e6;
      if (policy === "per-node") best = Math.min(best, seconds);
      else single = Math.min(single, seconds);
    }
  }
  console.log(
    `${String(nodes).padStart(2)} nodes, ${String(nodes * cpusEach).padStart(4)} CPUs  ${best.toFixed(3)} s, with a single copy ${single.toFixed(3)} s, ${((1000 * (best - single)) / nodes).toFixed(1)} ms a node`,
  );
}
