/** Public surface of mm-core: the kernel's core as plugins. */
import { bind, plugin } from "@kreplica/di";
import { AddressSpaces, PerHolderSpaces } from "./address-space.js";
import { KernelBoot } from "./boot-api.js";
import { OrderedBoot } from "./boot.js";
import { AssembledContext, BuildContext } from "./build-context.js";
import { CpuState, OnlineCpus } from "./cpu-state.js";
import { LockstepTables } from "./kernel-tables.js";
import { Memblock } from "./memblock.js";
import { NodePageAllocator } from "./page-alloc.js";
import { BootMemory, KernelTables, PageAllocator, ReplicaView } from "./ports.js";
import { SingleCopy } from "./single-copy.js";
import { CountedTableMemory, TableMemory } from "./table-memory.js";

export * from "./api.js";
export { BuddyZone, MAX_ORDER } from "./buddy.js";
export { AssembledContext, CountedTableMemory, LockstepTables, Memblock, NodePageAllocator, OnlineCpus, OrderedBoot, PerHolderSpaces, SingleCopy };

/** The kernel's core. Needs hw-x86/Machine, KernelImage, KernelLayout, KernelOptions and a ReplicaView. */
export const mmCore = plugin("mm-core", [
  bind(BootMemory, Memblock),
  bind(PageAllocator, NodePageAllocator),
  bind(TableMemory, CountedTableMemory),
  bind(BuildContext, AssembledContext),
  bind(CpuState, OnlineCpus),
  bind(KernelTables, LockstepTables),
  bind(KernelBoot, OrderedBoot),
  bind(AddressSpaces, PerHolderSpaces),
]);

/** A kernel without replication. */
export const singleCopy = plugin("single-copy", [bind(ReplicaView, SingleCopy)]);
