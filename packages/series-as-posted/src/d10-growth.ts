/** D10-growth: a direct map that grows reaches one root of the kernel's own. */
import { overlay } from "@kreplica/di";
import type { Frame } from "@kreplica/hw-x86/api";
import { KernelLayout, MemoryHotplug, ReplicaView, TableMemory } from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";

/** Slots of the kernel's half of a root that lead nowhere. */
const emptySlots = (entries: TableMemory, root: Frame, first: number): { root: Frame; slot: number }[] =>
  Array.from({ length: 512 - first }, (_, above) => ({ root, slot: first + above })).filter(
    ({ slot }) => (entries.low(root, slot) & 1) === 0,
  );

export const D10_GROWTH: SeriesDefect = {
  id: "D10-growth",
  sentence: "a direct map that grows reaches one root of the kernel's own",
  patch: "03/12 mm/numa_replication.c numa_replicate_kernel",
  effect:
    "cloned PGDs are not on pgd_list: memory that comes later and takes another top-level slot is not mapped on the other nodes",
  breaks: ["B3", "F2"],
  confirmed: "read in the patch",
  configuration: "late memory",
  overlays: [
    overlay(MemoryHotplug, (hotplug, get) => {
      const [view, entries, layout] = [get(ReplicaView), get(TableMemory), get(KernelLayout)];
      const online = hotplug.online.bind(hotplug);
      hotplug.online = (...given) => {
        const holes = view.holders
          .slice(1)
          .flatMap((holder) => emptySlots(entries, view.kernelRoot(holder), layout.kernelBoundary));
        const done = online(...given);
        for (const { root, slot } of holes) entries.write(root, slot, 0, 0);
        return done;
      };
      return hotplug;
    }),
  ],
};
