/**
 * Everything another package may see of the kernel's core: ports, tokens, errors, and the pure functions over tables.
 */
export * from "./errors.js";
export { KernelOptions } from "./options-api.js";
export { seededRandom, shuffle } from "./random.js";
export * from "./memory/boot-memory-api.js";
export * from "./memory/page-allocator-api.js";
export { firstTables } from "./image/first-tables.js";
export { type Alignment, type ImageInput, kernelImage, loadedSection, type SectionHeader } from "./image/image.js";
export { shadowOf, shadowRange } from "./image/kasan-range.js";
export * from "./image/kernel-image-api.js";
export * from "./image/kernel-layout-api.js";
export {
  descriptorAddress,
  directAddress,
  FIXED,
  imageAddress,
  imageRange,
  imageFrame,
  kernelLayout,
  type LayoutOptions,
  MOST_MEMORY,
  type PhysicalRun,
} from "./image/layout.js";
export { sameBytes } from "./image/same-bytes.js";
export { type TextUser, TextUsers } from "./image/text-users-api.js";
export { TextUserList } from "./image/text-users.js";
export { CpuState } from "./tables/cpu-state-api.js";
export { rootsOfBothHalves } from "./tables/empty-tables.js";
export * from "./tables/kernel-tables-api.js";
export { KERNEL_DATA, KERNEL_TABLE_BITS, leafEntry, mappingOf, renamedHigh, TABLE_BITS } from "./tables/protection.js";
export * from "./tables/replica-view-api.js";
export { writeSplit } from "./tables/split-leaf.js";
export * from "./tables/shared-memory-api.js";
export {
  type ReplicaTraffic,
  type RunObserver,
  SHARED_HIGH,
  type StoreObserver,
  TableMemory,
} from "./tables/table-memory-api.js";
export { entryValue, frameAt, lookup, pageWithin, tableAt, walk, type WalkEnd } from "./tables/walk.js";
export * from "./boot/boot-api.js";
export { type ChooseHolders, policy, type Policy } from "./boot/policy.js";
export { shadowLeaves } from "./boot/kasan.js";
export { BuildContext } from "./boot/build-context-api.js";
export type { CpuUnits } from "./boot/cpu-areas.js";
export { brkRoom } from "./boot/direct-map.js";
export { bootRoot, symbolFrame } from "./boot/early-map.js";
export { copyImageToUser, userImageRange } from "./boot/pti.js";
export {
  type AddressSpace,
  AddressSpaces,
  EAGER_PGDS,
  eachNewSpace,
  HOME_PGDS,
  LAZY_PGDS,
  LDT_PAGES,
  LDT_SLOT,
  ldtAddress,
  type LdtPlace,
  type Leaf,
  PGD_ORDER,
  PGD_PAGES,
  PgdPlan,
} from "./processes/address-space-api.js";
export { type DescriptorFault, MemoryHotplug, type RemovalOutcome } from "./processes/memory-hotplug-api.js";
export { PageCache, type UserFile } from "./processes/page-cache-api.js";
export * from "./processes/process-api.js";
export { type PcidUse, SwitchMm, type TemporaryTables } from "./processes/switch-api.js";
export { UserFrames } from "./processes/user-frames-api.js";
export type { Area, VmaTree } from "./processes/vma-tree.js";
