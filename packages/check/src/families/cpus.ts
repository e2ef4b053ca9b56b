/** CPUs go off line and come back; memory of a node that was without comes on line, its descriptors written (G15). */
import type { CpuId } from "@kreplica/hw-x86";
import { hex } from "@kreplica/hw-x86/api";
import { MemoryHotplug } from "@kreplica/mm-core";
import type { OperationFamily } from "../family.js";
import type { Subject } from "../subject.js";

export type CpuOperation =
  | { readonly op: "offline"; readonly cpu: number }
  | { readonly op: "online"; readonly cpu: number }
  | { readonly op: "plug"; readonly node: number };

/**
 * A node to plug is one of as many: most of them no machine has, for a kernel whose memory came serves no further run.
 */
const PLUGGED = 32;

export const cpuFamily: OperationFamily<CpuOperation> = {
  name: "cpus",
  seenByUsers: true,
  kinds: {
    offline: { weight: 1, fields: { cpu: "number" }, alone: true },
    online: { weight: 2, fields: { cpu: "number" }, alone: true },
    plug: { weight: 1, fields: { node: "number" } },
  },
  draw: (op, drawing) => (op === "plug" ? { op, node: drawing.random(PLUGGED) } : { op, cpu: drawing.cpu() }),
  describe: (o) =>
    o.op === "plug"
      ? `memory of node ${o.node} comes on line`
      : o.op === "offline"
        ? `CPU ${o.cpu} goes off line`
        : `CPU ${o.cpu} comes on line`,

  start(system) {
    const { machine, cpus, view } = system.parts;
    const { processes } = system.population;
    const hotplug = system.parts.assembly.get(MemoryHotplug);
    const down = (): CpuId[] => machine.cpuIds.filter((each) => !cpus.online.has(each));
    return {
      told: (o) => (o.op === "online" && down().length > 0 ? { cpu: down()[o.cpu % down().length]! } : {}),
      perform(o) {
        if (o.op === "offline") {
          if (cpus.online.size > 1) processes.offline(system.cpu(o.cpu));
        } else if (o.op === "online") {
          const off = down();
          if (off.length === 0) return;
          const back = off[o.cpu % off.length]!;
          processes.online(back);
          if (machine.cpu(back).rootFrame !== view.kernelRoot(machine.nodeOfCpu(back)))
            system.fail("G7", `CPU ${back} came back on another root than its node's`);
        } else {
          if (!hotplug.offline.has(o.node)) return;
          system.forGood(() => system.unchangedWhenRefused(() => hotplug.online(o.node)));
          checkDescriptors(system, hotplug);
          system.population.checkKernelSlots();
        }
      },
    };
  },
};

/**
 * G15. Told of the store that faulted, before whose tables lack the slot: a kernel that has the fault dies of it.
 */
function checkDescriptors({ fail }: Subject, { descriptorFaults: [first] }: MemoryHotplug): void {
  if (first)
    fail(
      "G15",
      `CPU ${first.cpu} faults at ${hex(first.address)} as it writes the descriptor of frame ${first.frame}, which just came`,
    );
}
