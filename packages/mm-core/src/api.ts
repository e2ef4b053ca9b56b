/** Everything another package may see of the kernel's core: ports, tokens, errors, and the pure functions over tables. */
export { type AddressSpace, AddressSpaces } from "./address-space.js";
export * from "./boot-api.js";
export { BuildContext } from "./build-context.js";
export { CpuState } from "./cpu-state.js";
export type { CpuUnits } from "./cpu-areas.js";
export { bootRoot, symbolFrame } from "./early-map.js";
export * from "./errors.js";
export { type ImageInput, kernelImage, pagesOf, type SectionHeader } from "./image.js";
export { directAddress, FIXED, imageAddress, imageFrame, kernelLayout, type LayoutOptions } from "./layout.js";
export { KernelOptions } from "./options.js";
export * from "./ports.js";
export { KERNEL_DATA, KERNEL_TABLE_BITS, leafEntry, mappingOf, TABLE_BITS } from "./protection.js";
export { copyImageToUser, userImageRange } from "./pti.js";
export { seededRandom } from "./random.js";
export { type StoreObserver, TableMemory } from "./table-memory.js";
export { entryValue, frameAt, lookup, type RangeVisitor, tableAt, walk, type WalkEnd, walkRange } from "./walk.js";
