/** Public surface of mm-core: the kernel's core as plugins. */
import { bind, bindValue, plugin } from "@kreplica/di";
import { AddressSpaces, EAGER_PGDS, PgdPlan } from "./address-space-api.js";
import { PerHolderSpaces } from "./address-space.js";
import { KernelBoot } from "./boot-api.js";
import { OrderedBoot } from "./boot.js";
import { AssembledContext, BuildContext } from "./build-context.js";
import { CpuState, OnlineCpus } from "./cpu-state.js";
import { LockstepTables } from "./kernel-tables.js";
import { Memblock } from "./memblock.js";
import { DirectMapHotplug, MemoryHotplug } from "./mm/memory-hotplug.js";
import { Processes } from "./mm/process-api.js";
import { UserProcesses } from "./mm/processes.js";
import { SwitchMm } from "./mm/switch-api.js";
import { PcidSwitch } from "./mm/switch-mm.js";
import { CountedFrames, UserFrames } from "./mm/user-frames.js";
import { NodePageAllocator } from "./page-alloc.js";
import { BootMemory, KernelTables, PageAllocator, ReplicaView } from "./ports.js";
import { SingleCopy } from "./single-copy.js";
import { CountedTableMemory, TableMemory } from "./table-memory.js";
import { TextUserList, TextUsers } from "./text-users.js";

export * from "./api.js";
export { BuddyZone, MAX_ORDER } from "./buddy.js";
export { AssembledContext, CountedTableMemory, LockstepTables, Memblock, NodePageAllocator, OnlineCpus, OrderedBoot, PcidSwitch, PerHolderSpaces, SingleCopy };
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
