/** Public surface of modules: the plugin, and the pure steps from a file to a relocated image. */
import { bind, bindValue, plugin, type Plugin } from "@kreplica/di";
import { ModuleLoader, ModulePatcher, ModulePolicy, StrictPermissions } from "./api.js";
import { ElfModuleLoader } from "./loader.js";
import { NoPatcher, TablePatcher } from "./patcher.js";
import { replicateAll } from "./policy.js";
import { SetMemoryPermissions } from "./strict-rwx.js";

export * from "./api.js";
export { checkModule } from "./check.js";
export { loadOrder, moduleName, readModulesDep } from "./dependencies.js";
export { moduleExports } from "./exports.js";
export { checkLoaded, checkModules, MODULE_INVARIANTS, type ModuleWitnesses } from "./invariants.js";
export { watchFormation, type FormationSubject } from "./formation-witness.js";
export { ItsThunks } from "./its-thunks.js";
export { layoutCoreInit, layoutModule, type CoreInitLayout, type ModuleLayout, type Place } from "./layout.js";
export { readModule } from "./module-file.js";
export { ModuleImage, type ImagePart } from "./module-image.js";
export { countSites, readPatchTables } from "./patch-tables.js";
export { NoPatcher, TablePatcher } from "./patcher.js";
export { PERCPU_MODULE_RESERVE } from "./percpu.js";
export { asPosted, modulePolicy, placements, replicateAll, replications } from "./policy.js";
export { relocateModule, relocationName } from "./relocate.js";
export { resolveSymbols } from "./resolve.js";
export { tinyHost } from "./small-host.js";
export { elfObject, tinyModule, type ObjectSection, type ObjectSymbol, type TinyModule } from "./small-module.js";
export { sortTables } from "./sort-tables.js";
export { exportsFromSymbols, readExports, SymbolTable, type ByteSource, type ExportTable } from "./symbols.js";

/** The loader with a policy; needs ModuleHost, ModulePatcher, Vmalloc, SetMemory and the kernel's core. */
export const modulesWith = (policy: ModulePolicy): Plugin =>
  plugin("modules", [
    bind(ModuleLoader, ElfModuleLoader),
    bind(StrictPermissions, SetMemoryPermissions),
    bindValue(ModulePolicy, policy),
  ]);
/** The default policy. */
export const modules: Plugin = modulesWith(replicateAll);
/** Sites as the running kernel has its own: needs ModuleHost.patching. */
export const tablePatching: Plugin = plugin("table-patching", [bind(ModulePatcher, TablePatcher)]);
/** Sites stay as compiled. */
export const noPatching: Plugin = plugin("no-patching", [bind(ModulePatcher, NoPatcher)]);
