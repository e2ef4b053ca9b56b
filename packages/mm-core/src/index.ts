/** Public surface of mm-core: the kernel's core as plugins. */
import { bind, bindValue, plugin } from "@kreplica/di";
import { AddressSpaces, EAGER_PGDS, PgdPlan } from "./processes/address-space-api.js";
import { PerHolderSpaces } from "./processes/address-space.js";
import { KernelBoot } from "./boot/boot-api.js";
import { OrderedBoot } from "./boot/boot.js";
import { BuildContext } from "./boot/build-context-api.js";
import { AssembledContext } from "./boot/build-context.js";
import { CpuState } from "./tables/cpu-state-api.js";
import { OnlineCpus } from "./tables/cpu-state.js";
import { LockstepTables } from "./tables/kernel-tables.js";
import { Memblock } from "./memory/memblock.js";
import { MemoryHotplug } from "./processes/memory-hotplug-api.js";
import { DirectMapHotplug } from "./processes/memory-hotplug.js";
import { PageCache } from "./processes/page-cache-api.js";
import { CountedPageCache } from "./processes/page-cache.js";
import { Processes } from "./processes/process-api.js";
import { UserProcesses } from "./processes/processes.js";
import { SwitchMm } from "./processes/switch-api.js";
import { PcidSwitch } from "./processes/switch-mm.js";
import { UserFrames } from "./processes/user-frames-api.js";
import { CountedFrames } from "./processes/user-frames.js";
import { NodePageAllocator } from "./memory/page-alloc.js";
import { BootMemory } from "./memory/boot-memory-api.js";
import { KernelTables } from "./tables/kernel-tables-api.js";
import { PageAllocator } from "./memory/page-allocator-api.js";
import { ReplicaView } from "./tables/replica-view-api.js";
import { type Policy, policy } from "./boot/policy.js";
import { SingleCopy } from "./boot/single-copy.js";
import { SharedMemory } from "./tables/shared-memory-api.js";
import { SharedFrames } from "./tables/shared-memory.js";
import { TableMemory } from "./tables/table-memory-api.js";
import { CountedTableMemory } from "./tables/table-memory.js";
import { TextUsers } from "./image/text-users-api.js";
import { TextUserList } from "./image/text-users.js";

export * from "./api.js";
export { BuddyZone, MAX_ORDER } from "./memory/buddy.js";
export {
  AssembledContext,
  CountedTableMemory,
  LockstepTables,
  Memblock,
  NodePageAllocator,
  OnlineCpus,
  OrderedBoot,
  PcidSwitch,
  PerHolderSpaces,
  SharedFrames,
  SingleCopy,
};
export { entryPageOf } from "./boot/cpu-areas.js";
export { VmaTree } from "./processes/vma-tree.js";

/** The kernel's core. Needs hw-x86/Machine, KernelImage, KernelLayout, KernelOptions and a ReplicaView. */
export const mmCore = plugin("mm-core", [
  bind(BootMemory, Memblock),
  bind(PageAllocator, NodePageAllocator),
  bind(TableMemory, CountedTableMemory),
  bind(SharedMemory, SharedFrames),
  bind(BuildContext, AssembledContext),
  bind(CpuState, OnlineCpus),
  bind(TextUsers, TextUserList),
  bind(KernelTables, LockstepTables),
  bind(KernelBoot, OrderedBoot),
  bind(AddressSpaces, PerHolderSpaces),
  bind(UserFrames, CountedFrames),
  bind(PageCache, CountedPageCache),
  bind(SwitchMm, PcidSwitch),
  bind(Processes, UserProcesses),
  bind(MemoryHotplug, DirectMapHotplug),
]);

/** A kernel without replication. */
export const singleCopy: Policy = policy(
  "single-copy",
  { summary: "one copy for all nodes: the kernel without the series", alignment: "recorded", holders: "master" },
  [bind(ReplicaView, SingleCopy), bindValue(PgdPlan, EAGER_PGDS)],
);
