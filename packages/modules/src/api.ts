/** Everything another package may see of modules: what a loaded one is, the loader, and the ports it needs. */
import { token } from "@kreplica/di";
import type { NodeId } from "@kreplica/hw-x86/api";
import type { PatchCounts, PatchState, PatchTables, SiteClass } from "@kreplica/text-patch/api";
import type { ReplicationOutcome, VmArea } from "@kreplica/vmalloc/api";
import type { KernelIdentity } from "./check.js";
import type { ItsThunks } from "./its-thunks.js";
import type { ModuleFile } from "./module-file.js";
import type { ModuleImage } from "./module-image.js";
import type { MemoryType } from "./sections.js";
import type { ExportedSymbol, SymbolTable } from "./symbols.js";

export * from "./errors.js";
export { addressOf, signedOf } from "./addresses.js";
export type { KernelIdentity } from "./check.js";
export type { ModuleFile } from "./module-file.js";
export type { ModuleImage } from "./module-image.js";
export { ModulePolicy, type PolicyQuestion } from "./policy.js";
export { INIT_TYPES, MEMORY_TYPES, REPLICATED_TYPES, type MemoryType } from "./sections.js";
export type { ExportedSymbol, SymbolTable } from "./symbols.js";

/** @source include/linux/module.h enum module_state */
export type ModuleState = "unformed" | "coming" | "live" | "going";

/** What giving memories their copies took, apart from everything else a load does. */
export interface ReplicationCost {
  /** Table stores, those to the boot table included. */
  readonly stores: number;
  readonly flushes: number;
  /** Requests to the page allocator. */
  readonly requests: number;
}

/** One memory of a loaded module. */
export interface ModuleMemory {
  readonly type: MemoryType;
  readonly area: VmArea;
  /** Bytes in use of the area's pages. */
  readonly bytes: number;
  /** What became of its replication; undefined where none was tried. */
  readonly replication: ReplicationOutcome | undefined;
}

/** A module in the kernel. */
export interface LoadedModule {
  readonly name: string;
  readonly state: ModuleState;
  /** By type; init memories are gone once it is live. */
  readonly memories: ReadonlyMap<MemoryType, ModuleMemory>;
  /** Pages of thunks for its indirect branches, read-only and executable; none where the CPU needs none. */
  readonly thunkPages: readonly VmArea[];
  /** Modules it uses symbols of. */
  readonly uses: ReadonlySet<string>;
  /** Modules that use its symbols. */
  readonly users: ReadonlySet<string>;
  readonly exports: readonly ExportedSymbol[];
  /** What giving its text and rodata copies took. */
  readonly replicationCost: ReplicationCost;
  /** Relocations applied, by type. */
  readonly relocations: ReadonlyMap<number, number>;
  /** Sites its tables list, by class. */
  readonly sites: Readonly<Record<SiteClass, number>>;
  /** Sites that patching wrote, by class. */
  readonly patched: PatchCounts;
  /**
   * Its tables of sites, those of init memory left out once it is live: what switches static keys, static calls and
   * tracing later.
   */
  readonly patchTables: PatchTables;
  /** Address of a symbol of its own, for calling it. */
  symbol(name: string): bigint | undefined;
}

/** Patches a module that is being made. Bindings: tablePatcher (text-patch's rules), noPatcher. */
export interface ModulePatcher {
  /**
   * Brings every listed site to what this machine runs, by direct writes into the image: nothing executes it yet and
   * there is one copy. Called after relocation, before replication. @patch 08/12 arch/x86/kernel/alternative.c
   * text_poke_early
   * @param thunks where thunks of the module's own come from; the kernel's are used when absent
   * @throws ModuleError bad-site
   */
  finalize(image: ModuleImage, tables: PatchTables, thunks?: ItsThunks): PatchCounts;
}
export const ModulePatcher = token<ModulePatcher>("modules/ModulePatcher");

/** Kernel the modules are for: identity, exported symbols, per-CPU reserve. */
export interface ModuleHost {
  readonly identity: KernelIdentity;
  readonly symbols: SymbolTable;
  /** Offset in a CPU's unit at which the reserve for modules begins. */
  readonly percpuStart: number;
  /** What the kernel's own code was patched to; undefined when that is not known. */
  readonly patching: PatchState | undefined;
  /** Key of the static call whose trampoline is at the address, from .static_call_tramp_key. */
  staticCallKey(trampoline: bigint): bigint | undefined;
}
export const ModuleHost = token<ModuleHost>("modules/ModuleHost");

/** Loads and unloads modules. */
export interface ModuleLoader {
  /**
   * finit_module up to the point where the init function would run: state `coming`, formed, replicated and protected.
   * @param node of the CPU that loads it
   * @throws ModuleError; nothing of the module stays then
   */
  load(file: ModuleFile, node: NodeId): LoadedModule;
  /** What follows the init function: ro_after_init is sealed, init memories are freed, state `live`. */
  finishInit(module: LoadedModule): void;
  /** delete_module. @throws ModuleError not-loaded, in-use, permanent */
  unload(name: string): void;
  find(name: string): LoadedModule | undefined;
  /** Module whose memory contains the address. */
  containing(address: bigint): LoadedModule | undefined;
  /** In the order of loading. */
  readonly loaded: readonly LoadedModule[];
}
export const ModuleLoader = token<ModuleLoader>("modules/ModuleLoader");

/**
 * Permissions of a module's memories.
 * @patch 11/12 kernel/module/strict_rwx.c module_enable_ro, module_enable_nx, module_enable_x
 */
export interface StrictPermissions {
  /**
   * text: read-only and executable; rodata: read-only; init text likewise. Data comes writable and not executable from
   * vmalloc.
   * @throws ModuleError no-memory
   */
  protect(module: LoadedModule): void;
  /** ro_after_init: read-only, once init has run. */
  sealAfterInit(module: LoadedModule): void;
}
export const StrictPermissions = token<StrictPermissions>("modules/StrictPermissions");
