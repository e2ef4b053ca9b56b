/** The areas as a plugin of their own, in the place of kreplica's `vmalloc` and all its parts. */
import { bindFactory, plugin } from "@kreplica/di";
import { PhysMemory } from "@kreplica/hw-x86/api";
import { KernelLayout, KernelTables, PageAllocator, ReplicaView, TextUsers } from "@kreplica/mm-core/api";
import { Vmalloc } from "@kreplica/vmalloc/api";
import { FirstFitVmalloc } from "./first-fit.js";

/** For `boot({ plugins: [firstFitVmalloc] })`, where one would write `vmalloc`. */
export const firstFitVmalloc = plugin("first-fit-vmalloc", [
  bindFactory(
    Vmalloc,
    (get) =>
      new FirstFitVmalloc({
        allocator: get(PageAllocator),
        memory: get(PhysMemory),
        tables: get(KernelTables),
        layout: get(KernelLayout),
        view: get(ReplicaView),
        textUsers: get(TextUsers),
      }),
  ),
]);
