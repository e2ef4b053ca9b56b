/** D6: copies of an area are freed while mapped when memory gives out. */
import { overlay } from "@kreplica/di";
import { PhysMemory } from "@kreplica/hw-x86/api";
import { KernelLayout, KernelTables, PageAllocator, ReplicaView, TableMemory } from "@kreplica/mm-core/api";
import { AreaReplicator } from "@kreplica/vmalloc/api";
import { UnmapThenMapReplicator } from "./unmap-then-map.js";
import type { SeriesDefect } from "./defect.js";

export const D6: SeriesDefect = {
  id: "D6",
  sentence: "copies of an area are freed while mapped when memory gives out",
  patch: "10/12 mm/vmalloc.c __vmalloc_node_replicate_range",
  effect:
    "when a later node has no memory the copies of earlier ones are freed though those nodes still map them; and nobody is told that it failed",
  breaks: ["E7", "E1", "E2"],
  confirmed: "read in the patch",
  overlays: [
    overlay(
      AreaReplicator,
      (_corrected, get) =>
        new UnmapThenMapReplicator({
          allocator: get(PageAllocator),
          memory: get(PhysMemory),
          tables: get(KernelTables),
          entries: get(TableMemory),
          view: get(ReplicaView),
          layout: get(KernelLayout),
        }),
    ),
  ],
};
