/**
 * Memory of a node that came while the kernel ran goes again: its users' pages are elsewhere, nobody maps it, no CPU
 * has it. Drawn where all kernels have a node whose memory comes later.
 */
import { hex } from "@kreplica/hw-x86/api";
import { descriptorAddress, directAddress, MemoryHotplug } from "@kreplica/mm-core";
import type { OperationFamily } from "../family.js";

export interface MemoryGoesOperation {
  readonly op: "unplug";
  readonly node: number;
  readonly cpu: number;
}

/** As often as memory that goes is to be met: a run has it now and then. */
const WEIGHT = 4;

export const memoryGoesFamily: OperationFamily<MemoryGoesOperation> = {
  name: "memory-goes",
  seenByUsers: true,
  kinds: { unplug: { weight: WEIGHT, fields: { node: "number", cpu: "number" } } },
  draw: (op, drawing) => ({ op, node: drawing.random(4), cpu: drawing.cpu() }),
  describe: (o) => `memory of node ${o.node} goes, asked for on CPU ${o.cpu}`,
  scenes: [
    // Memory comes, a process uses it, and it goes.
    ({ random, focus }) => {
      const p = (focus.p = random(4));
      const page = (focus.page = random(18));
      // The last is of the node itself: tables come from there, and keep its memory.
      const [cpu, node] = [random(5), 2];
      return [
        { op: "plug", node },
        { op: "mmap", p, cpu, page, pages: 2, writable: true, large: random(3) === 0, locked: false, policy: 3 },
        { op: "run", p, cpu },
        { op: "touch", cpu, page, kind: "write", value: 1 + random(1000) },
        ...(random(2) === 0 ? [{ op: "fork", p, cpu: random(4) }] : []),
        { op: "unplug", node, cpu: random(4) },
        { op: "touch", cpu, page, kind: "read", value: 1 },
      ];
    },
  ],
  start(system) {
    const { assembly, layout, machine, options, tables, allocator } = system.parts;
    const hotplug = assembly.get(MemoryHotplug);
    const late = new Set(options.offlineMemory);
    return {
      perform(o) {
        if (!late.has(o.node) || hotplug.offline.has(o.node)) return;
        const cpu = system.cpu(o.cpu);
        let done = false;
        system.forGood(() =>
          system.unchangedWhenRefused(() => {
            done = hotplug.remove(o.node, cpu) === "done";
            return done;
          }),
        );
        system.population.checkKernelSlots();
        if (!done) return;
        if (allocator.freeFrames(o.node) > 0)
          system.fail("F6", `node ${o.node}, whose memory is gone, has ${allocator.freeFrames(o.node)} free frames`);
        for (const { first, frames } of machine.memory.ranges.filter(({ node }) => node === o.node))
          for (const holder of system.holders)
            for (const address of [first, first + frames - 1].flatMap((frame) => [
              directAddress(layout, frame),
              descriptorAddress(layout, frame),
            ]))
              if (tables.lookup(holder, address))
                system.fail("G6", `the root of node ${holder} still maps ${hex(address)} of memory that is gone`);
      },
    };
  },
};
