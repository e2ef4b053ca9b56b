/** D13: where copies lie is remembered in init data, which is given back before it is used. */
import { overlay } from "@kreplica/di";
import { hex, Machine, type NodeId, NONE } from "@kreplica/hw-x86/api";
import {
  BootMemory,
  directAddress,
  imageAddress,
  invariant,
  KernelBoot,
  KernelImage,
  KernelLayout,
  KernelTables,
  ReplicaView,
} from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";

/** What Linux fills freed init memory with. @source Linux include/linux/poison.h */
const POISON_FREE_INITMEM = 0xcc;
/** An entry of numa_pgt is three pointers: to a node's PGD, text and rodata. */
const ENTRY_BYTES = 24;
const RODATA_AT = 16;

export const D13: SeriesDefect = {
  id: "D13",
  sentence: "where copies lie is remembered in init data, which is given back before it is used",
  patch: "03/12 mm/numa_replication.c numa_pgt",
  effect: "a kernel without modules copies rodata to wherever poisoned memory says, and panics",
  breaks: ["H6"],
  confirmed: "seen on a running kernel",
  configuration: "modules=off",
  onlyThere: true,
  overlays: [
    overlay(KernelBoot, (boot, get) => {
      const [view, early, image, layout] = [get(ReplicaView), get(BootMemory), get(KernelImage), get(KernelLayout)];
      const [machine, tables] = [get(Machine), get(KernelTables)];
      const table = imageAddress(layout, image.initBegin) - imageAddress(layout, image.stext) + layout.imagePhysical;
      const entryOf = (node: NodeId): bigint => table + BigInt(ENTRY_BYTES * machine.nodes.indexOf(node) + RODATA_AT);
      const asked: NodeId[] = [];
      const allocate = early.allocate.bind(early);
      early.allocate = (node, frames, align, purpose, exact) => {
        const frame = allocate(node, frames, align, purpose, exact);
        if (purpose === "rodata" && frame !== NONE) {
          asked.push(node);
          machine.memory.write64(entryOf(node), directAddress(layout, frame));
        }
        return frame;
      };
      boot.during("free-initmem", () => {
        const bytes = Number(imageAddress(layout, image.initEnd) - imageAddress(layout, image.initBegin));
        machine.memory.writeBytes(table, new Uint8Array(bytes).fill(POISON_FREE_INITMEM));
        return "init memory poisoned";
      });
      const replicate = view.replicateRodata.bind(view);
      view.replicateRodata = () => {
        for (const node of asked) {
          const to = machine.memory.read64(entryOf(node));
          const canonical = BigInt.asUintN(64, BigInt.asIntN(layout.levels === 5 ? 57 : 48, to)) === to;
          invariant(
            canonical && tables.lookup(view.holders[0]!, to) !== undefined,
            `numa_pgt lay in init memory, which was given back: rodata of node ${node} is to be copied to ${hex(to)}, where nothing is mapped`,
          );
        }
        replicate();
      };
      return boot;
    }),
  ],
};
