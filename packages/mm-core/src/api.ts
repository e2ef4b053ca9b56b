/**
 * Everything another package may see of the kernel's core: ports, tokens, errors, and the pure functions over tables.
 */
export {
  type AddressSpace,
  AddressSpaces,
  EAGER_PGDS,
  HOME_PGDS,
  LAZY_PGDS,
  LDT_PAGES,
  LDT_SLOT,
  ldtAddress,
  type LdtPlace,
  PGD_ORDER,
  PGD_PAGES,
  PgdPlan,
} from "./address-space-api.js";
export * from "./boot-api.js";
export { BuildContext } from "./build-context-api.js";
export { CpuState } from "./cpu-state-api.js";
export type { CpuUnits } from "./cpu-areas.js";
export { brkRoom } from "./direct-map.js";
export { bootRoot, symbolFrame } from "./early-map.js";
export { rootsOfBothHalves } from "./empty-tables.js";
export * from "./errors.js";
export { type ImageInput, kernelImage, pagesOf, type SectionHeader } from "./image.js";
export { shadowOf, shadowRange } from "./kasan-range.js";
export {
  descriptorAddress,
  directAddress,
  FIXED,
  imageAddress,
  imageFrame,
  kernelLayout,
  type LayoutOptions,
  type PhysicalRun,
} from "./layout.js";
export { MemoryHotplug } from "./mm/memory-hotplug-api.js";
export * from "./mm/process-api.js";
export { SwitchMm, type TemporaryTables } from "./mm/switch-api.js";
export { UserFrames } from "./mm/user-frames-api.js";
export type { Area, VmaTree } from "./mm/vma-tree.js";
export { KernelOptions } from "./options.js";
export * from "./ports.js";
export { type AddressRange, sameBytes } from "./same-bytes.js";
export { KERNEL_DATA, KERNEL_TABLE_BITS, leafEntry, mappingOf, TABLE_BITS } from "./protection.js";
export { copyImageToUser, userImageRange } from "./pti.js";
export { seededRandom } from "./random.js";
export { writeSplit } from "./split-leaf.js";
export { type ReplicaTraffic, type StoreObserver, TableMemory } from "./table-memory-api.js";
export { TextUserList } from "./text-users.js";
export { type TextUser, TextUsers } from "./text-users-api.js";
export { entryValue, frameAt, lookup, type RangeVisitor, tableAt, walk, type WalkEnd, walkRange } from "./walk.js";
