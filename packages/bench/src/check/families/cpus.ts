/** CPUs go off line and come back, nodes gain memory. */
import type { OperationFamily } from "../family.js";

export type CpuOperation =
  | { readonly op: "offline"; readonly cpu: number }
  | { readonly op: "online"; readonly cpu: number }
  | { readonly op: "plug"; readonly node: number };

export const cpuFamily: OperationFamily<CpuOperation> = {
  name: "cpus",
  seenByUsers: true,
  kinds: {
    offline: { weight: 1, fields: { cpu: "number" }, alone: true },
    online: { weight: 2, fields: { cpu: "number" }, alone: true },
    plug: { weight: 1, fields: { node: "number" } },
  },
  draw: (op, drawing) => (op === "plug" ? { op, node: drawing.random(8) } : { op, cpu: drawing.cpu() }),
  describe: (o) => (o.op === "plug" ? `node ${o.node} gains memory` : o.op === "offline" ? `CPU ${o.cpu} goes off line` : `CPU ${o.cpu} comes on line`),

  start(system) {
    const { machine, cpus, view } = system.parts;
    const { processes } = system.population;
    return {
      perform(o) {
        if (o.op === "offline") {
          if (cpus.online.size > 1) processes.offline(system.cpu(o.cpu));
        } else if (o.op === "online") {
          const down = machine.cpuIds.filter((each) => !cpus.online.has(each));
          if (down.length === 0) return;
          const back = down[o.cpu % down.length]!;
          processes.online(back);
          if (machine.cpu(back).rootFrame !== view.kernelRoot(machine.nodeOfCpu(back))) system.fail("G7", `CPU ${back} came back on another root than its node's`);
        } else {
          const bare = machine.nodes.filter((node) => !machine.memory.ranges.some((range) => range.node === node));
          if (bare.length > 0) view.memoryAdded?.(bare[o.node % bare.length]!);
        }
      },
    };
  },
};
