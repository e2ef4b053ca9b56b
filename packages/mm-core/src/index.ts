/** Public surface of mm-core: the kernel's core as plugins. */
import { bind, bindValue, plugin } from "@kreplica/di";
import { AddressSpaces, EAGER_PGDS, PgdPlan } from "./address-space-api.js";
import { PerHolderSpaces } from "./address-space.js";
import { KernelBoot } from "./boot-api.js";
import { OrderedBoot } from "./boot.js";
import { BuildContext } from "./build-context-api.js";
import { AssembledContext } from "./build-context.js";
import { CpuState } from "./cpu-state-api.js";
import { OnlineCpus } from "./cpu-state.js";
import { LockstepTables } from "./kernel-tables.js";
import { Memblock } from "./memblock.js";
import { MemoryHotplug } from "./mm/memory-hotplug-api.js";
import { DirectMapHotplug } from "./mm/memory-hotplug.js";
import { Processes } from "./mm/process-api.js";
import { UserProcesses } from "./mm/processes.js";
import { SwitchMm } from "./mm/switch-api.js";
import { PcidSwitch } from "./mm/switch-mm.js";
import { UserFrames } from "./mm/user-frames-api.js";
import { CountedFrames } from "./mm/user-frames.js";
import { NodePageAllocator } from "./page-alloc.js";
import { BootMemory, KernelTables, PageAllocator, ReplicaView } from "./ports.js";
import { SingleCopy } from "./single-copy.js";
import { TableMemory } from "./table-memory-api.js";
import { CountedTableMemory } from "./table-memory.js";
import { TextUsers } from "./text-users-api.js";
import { TextUserList } from "./text-users.js";

export * from "./api.js";
export { BuddyZone, MAX_ORDER } from "./buddy.js";
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
  SingleCopy,
};
export { VmaTree } from "./mm/vma-tree.js";

/** The kernel's core. Needs hw-x86/Machine, KernelImage, KernelLayout, KernelOptions and a ReplicaView. */
export const mmCore = plugin("mm-core", [
  bind(BootMemory, Memblock),
  bind(PageAllocator, NodePageAllocator),
  bind(TableMemory, CountedTableMemory),
  bind(BuildContext, AssembledContext),
  bind(CpuState, OnlineCpus),
  bind(TextUsers, TextUserList),
  bind(KernelTables, LockstepTables),
  bind(KernelBoot, OrderedBoot),
  bind(AddressSpaces, PerHolderSpaces),
  bind(UserFrames, CountedFrames),
  bind(SwitchMm, PcidSwitch),
  bind(Processes, UserProcesses),
  bind(MemoryHotplug, DirectMapHotplug),
]);

/** A kernel without replication. */
export const singleCopy = plugin("single-copy", [bind(ReplicaView, SingleCopy), bindValue(PgdPlan, EAGER_PGDS)]);
