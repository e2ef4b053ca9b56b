/**
 * Readers of what a kernel and its modules come in, bytes in: vmlinux and vmlinuz, symbol lists, texts of readelf,
 * modules, recorded page tables.
 */
export { bootableImage, checkedImage } from "./kernel-image/bootable.js";
export { embeddedSymbols, type KernelSymbol } from "./kernel-image/kallsyms.js";
export { imageOf, type KernelFile, kernelFromBytes } from "./kernel-image/kernel-file.js";
export { noOpsOf, withNoOps } from "./kernel-image/no-op-runs.js";
export { patchTables } from "./kernel-image/patch-tables.js";
export { type Packing, type Unpacked, unpackKernel } from "./kernel-image/payload.js";
export type { KernelRelocations } from "./kernel-image/relocations.js";
export { stateOf } from "./kernel-image/running-state.js";
export { readSymbolList } from "./kernel-image/symbol-list.js";
export { type ModuleDirectory } from "./kernel-modules/directory.js";
export { DEFAULT_FEATURES, ITS_FEATURES, moduleHost } from "./kernel-modules/host.js";
export { moduleFromBytes } from "./kernel-modules/module-bytes.js";
export { type ModulesInOrder, readInOrder, type UnusableModule } from "./kernel-modules/read-in-order.js";
export { readSections } from "./readelf-sections.js";
export {
  type MissingTable,
  missingTables,
  readPackedPages,
  readPages,
  readRoots,
  type RecordedRoot,
  type RecordedTables,
} from "./recorded-tables.js";
export { readSystemMap, textOf } from "./system-map.js";
