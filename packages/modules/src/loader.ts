/**
 * finit_module and delete_module: from a file to code that every node runs from its own memory, and back.
 *
 *   read, check -> lay out, allocate -> copy, resolve, relocate -> sort, patch -> write -> replicate -> protect -> coming -> live
 *                                       \______ one copy, writable, nobody runs it ______/
 *
 * The order of the last steps is the series' rule: replicate after the last direct write and before the first
 * protection (E3). Source: kernel/module/main.c load_module; @patch 11/12 kernel/module/main.c complete_formation
 */
import { inject, injectable } from "@kreplica/di";
import { type AddressRange, Machine, type NodeId, PAGE } from "@kreplica/hw-x86/api";
import { KernelLayout, KernelTables, MmError, PageAllocator, ReplicaView, TextUsers } from "@kreplica/mm-core/api";
import { NO_TABLES, type PatchCounts, type PatchTables, type SiteClass } from "@kreplica/text-patch/api";
import { moduleArea, Vmalloc, VmallocError, type VmArea } from "@kreplica/vmalloc/api";
import { addressOf, signedOf } from "./addresses.js";
import {
  ModuleHost,
  ModulePatcher,
  ModulePolicy,
  type LoadedModule,
  type ModuleLoader,
  type ModuleMemory,
  type ModuleState,
  type ReplicationCost,
  StrictPermissions,
} from "./api.js";
import { checkModule } from "./check.js";
import { ModuleError } from "./errors.js";
import { moduleExports } from "./exports.js";
import { ItsThunks } from "./its-thunks.js";
import { layoutModule, type ModuleLayout } from "./layout.js";
import type { ModuleFile } from "./module-file.js";
import { ModuleImage } from "./module-image.js";
import { PercpuReserve } from "./percpu.js";
import { countSites, readPatchTables, sitesOutside } from "./patch-tables.js";
import type { PolicyQuestion } from "./policy.js";
import { relocateModule } from "./relocate.js";
import { resolveSymbols } from "./resolve.js";
import { INIT_TYPES, MEMORY_TYPES, REPLICATED_TYPES, type MemoryType } from "./sections.js";
import { sortTables } from "./sort-tables.js";
import type { ExportedSymbol } from "./symbols.js";

const NO_COST: ReplicationCost = { stores: 0, flushes: 0, requests: 0 };

class Module implements LoadedModule {
  state: ModuleState = "unformed";
  readonly memories = new Map<MemoryType, ModuleMemory>();
  readonly thunkPages: VmArea[] = [];
  readonly users = new Set<string>();
  uses: ReadonlySet<string> = new Set();
  exports: readonly ExportedSymbol[] = [];
  relocations: ReadonlyMap<number, number> = new Map();
  sites: Readonly<Record<SiteClass, number>> = countSites(NO_TABLES);
  patched: PatchCounts = {};
  patchTables: PatchTables = NO_TABLES;
  replicationCost: ReplicationCost = NO_COST;
  percpu: number | undefined;
  /** It can be unloaded: it has an exit function, or no init function. */
  removable = true;
  own: ReadonlyMap<string, number> = new Map();

  constructor(readonly name: string) {}

  symbol(name: string): bigint | undefined {
    const value = this.own.get(name);
    return value === undefined ? undefined : addressOf(value);
  }
}

@injectable()
export class ElfModuleLoader implements ModuleLoader {
  private readonly modules = new Map<string, Module>();
  private readonly percpu: PercpuReserve;

  constructor(
    @inject(ModuleHost) private readonly host: ModuleHost,
    @inject(ModulePolicy) private readonly policy: ModulePolicy,
    @inject(ModulePatcher) private readonly patcher: ModulePatcher,
    @inject(Vmalloc) private readonly vmalloc: Vmalloc,
    @inject(StrictPermissions) private readonly permissions: StrictPermissions,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(Machine) private readonly machine: Machine,
    @inject(KernelTables) private readonly tables: KernelTables,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(TextUsers) private readonly textUsers: TextUsers,
  ) {
    this.percpu = new PercpuReserve(host.percpuStart);
  }

  get loaded(): readonly LoadedModule[] {
    return [...this.modules.values()];
  }
  find(name: string): LoadedModule | undefined {
    return this.modules.get(name);
  }
  containing(address: bigint): LoadedModule | undefined {
    const area = this.vmalloc.find(address);
    return (
      area &&
      [...this.modules.values()].find(
        (module) =>
          [...module.memories.values()].some((memory) => memory.area === area) || module.thunkPages.includes(area),
      )
    );
  }

  load(file: ModuleFile, node: NodeId): LoadedModule {
    checkModule(file, this.host.identity, this.host.symbols);
    if (this.modules.has(file.name))
      throw new ModuleError("already-loaded", file.name, "already loaded: unload it first");
    const module = new Module(file.name);
    try {
      const layout = layoutModule(file);
      this.allocate(module, file, layout, node);
      this.make(module, file, layout, node);
      this.form(module, node);
    } catch (error) {
      this.release(module, MEMORY_TYPES);
      if (error instanceof VmallocError) throw new ModuleError("no-memory", file.name, error.message, { cause: error });
      throw error;
    }
    for (const used of module.uses) this.modules.get(used)!.users.add(module.name);
    this.host.symbols.add(module.exports);
    this.modules.set(module.name, module);
    module.state = "coming";
    return module;
  }

  finishInit(loaded: LoadedModule): void {
    const module = loaded as Module;
    if (this.modules.get(module.name) !== module)
      throw new ModuleError("not-loaded", module.name, "was unloaded before its init function returned");
    const init = this.rangesOf(module, INIT_TYPES);
    this.leave(module, init);
    // Linux goes on when it cannot seal; a module whose constants stay writable is worse than none.
    try {
      this.permissions.sealAfterInit(module);
    } catch (error) {
      this.remove(module);
      throw error;
    }
    module.patchTables = sitesOutside(module.patchTables, (address) =>
      init.some(({ start, end }) => address >= start && address < end),
    );
    this.release(module, INIT_TYPES);
    module.state = "live";
  }

  unload(name: string): void {
    const module = this.modules.get(name);
    if (!module) throw new ModuleError("not-loaded", name, "no such module is loaded");
    if (module.users.size > 0)
      throw new ModuleError("in-use", name, `used by ${[...module.users].join(", ")}: unload these first`);
    if (!module.removable) throw new ModuleError("permanent", name, "has an init function and no exit function");
    this.remove(module);
  }

  private remove(module: Module): void {
    // Whatever keeps addresses of it forgets them now, or refuses while all is as it was.
    this.leave(module, this.rangesOf(module, MEMORY_TYPES));
    module.state = "going";
    this.modules.delete(module.name);
    for (const used of module.uses) this.modules.get(used)?.users.delete(module.name);
    this.host.symbols.removeOwner(module.name);
    this.release(module, MEMORY_TYPES);
  }

  /** Module notifiers, MODULE_STATE_GOING. @throws ModuleError text-in-use */
  private leave(module: Module, ranges: readonly AddressRange[]): void {
    try {
      this.textUsers.release(ranges);
    } catch (error) {
      if (error instanceof MmError) throw new ModuleError("text-in-use", module.name, error.message, { cause: error });
      throw error;
    }
  }

  private rangesOf(module: Module, types: readonly MemoryType[]): AddressRange[] {
    const areas = [
      ...types.flatMap((type) => module.memories.get(type)?.area ?? []),
      ...(types === MEMORY_TYPES ? module.thunkPages : []),
    ];
    return areas.map(({ start, pages }) => ({ start, end: start + BigInt(pages) * PAGE }));
  }

  /** @patch 11/12 arch/x86/kernel/module.c module_alloc */
  private allocate(module: Module, file: ModuleFile, layout: ModuleLayout, node: NodeId): void {
    for (const type of MEMORY_TYPES) {
      const bytes = layout.bytes[type];
      if (bytes === 0) continue;
      const area = moduleArea(this.vmalloc, {
        bytes,
        low: this.layout.modulesStart,
        high: this.layout.modulesEnd,
        placement: this.policy.place(this.ask(module.name, type, layout, node)),
        purpose: "module",
        resetPermissions: true,
      });
      module.memories.set(type, { type, area, bytes, replication: undefined });
    }
    if (!file.percpu || file.percpu.size === 0) return;
    module.percpu = this.percpu.take(file.percpu.size, Number(file.percpu.align));
    if (module.percpu === undefined)
      throw new ModuleError(
        "no-memory",
        file.name,
        `Could not allocate ${file.percpu.size} bytes percpu data: unload a module that has some`,
      );
  }

  /** Everything that is written directly: one copy, in host bytes, then into the areas' frames. */
  private make(module: Module, file: ModuleFile, layout: ModuleLayout, node: NodeId): void {
    const image = new ModuleImage<MemoryType>(
      file,
      layout.places.map((place) => place && { part: place.type, offset: place.offset }),
      layout.bytes,
      (type) => signedOf(module.memories.get(type)!.area.start),
    );
    const { values, uses } = resolveSymbols(image, this.host.symbols, module.percpu ?? 0);
    module.uses = uses;
    module.relocations = relocateModule(image, values);
    sortTables(image);
    const tables = readPatchTables(image);
    module.sites = countSites(tables);
    module.patchTables = tables;
    const thunks = new ItsThunks(() => this.thunkPage(module, layout, node));
    module.patched = this.patcher.finalize(image, tables, thunks);
    module.exports = moduleExports(image);
    for (const each of module.exports) {
      const known = this.host.symbols.find(each.name);
      if (known)
        throw new ModuleError(
          "duplicate-export",
          file.name,
          `exports duplicate symbol ${each.name} (owned by ${known.owner ?? "kernel"})`,
        );
    }
    const own = new Map<string, number>();
    for (const symbol of file.symbols)
      if (symbol.name !== "" && symbol.section !== 0 && !own.has(symbol.name))
        own.set(symbol.name, values[symbol.index]!);
    module.own = own;
    module.removable = !own.has("init_module") || own.has("cleanup_module");
    for (const { part, bytes } of image.parts) this.vmalloc.write(module.memories.get(part)!.area, 0, bytes);
    for (const { area, bytes } of thunks.pages) this.vmalloc.write(area, 0, bytes);
  }

  /** No page is no reason to fail: the branch goes through the kernel's thunk. */
  private thunkPage(module: Module, layout: ModuleLayout, node: NodeId): VmArea | undefined {
    try {
      const area = moduleArea(this.vmalloc, {
        bytes: 4096,
        low: this.layout.modulesStart,
        high: this.layout.modulesEnd,
        placement: this.policy.place(this.ask(module.name, "text", layout, node)),
        purpose: "module",
        resetPermissions: true,
      });
      module.thunkPages.push(area);
      return area;
    } catch (error) {
      if (error instanceof VmallocError) return undefined;
      throw error;
    }
  }

  /** @patch 11/12 kernel/module/main.c module_replicate_rodata, then kernel/module/strict_rwx.c */
  private form(module: Module, node: NodeId): void {
    const bytes = (type: MemoryType): number => module.memories.get(type)?.bytes ?? 0;
    const chosen = REPLICATED_TYPES.flatMap((type) => module.memories.get(type) ?? []).filter((memory) =>
      this.policy.replicate(
        this.question(module.name, memory.type, memory.bytes, bytes("text") + bytes("rodata"), node),
      ),
    );
    // A kernel without private tables has nothing to replicate.
    const shared = chosen.filter(({ area }) => area.state === "shared");
    // Thunks are text that lies elsewhere.
    const thunks = shared.some(({ type }) => type === "text") ? module.thunkPages : [];
    const before = {
      stores: this.tables.stores.total,
      flushes: this.tables.flushes,
      requests: this.allocator.requests,
    };
    // No memory for copies is no reason to fail: shared code runs as well.
    const outcomes = shared.length > 0 ? this.vmalloc.replicateAll([...shared.map(({ area }) => area), ...thunks]) : [];
    module.replicationCost = {
      stores: this.tables.stores.total - before.stores,
      flushes: this.tables.flushes - before.flushes,
      requests: this.allocator.requests - before.requests,
    };
    for (const memory of chosen)
      module.memories.set(memory.type, { ...memory, replication: outcomes[shared.indexOf(memory)] ?? "single" });
    this.permissions.protect(module);
  }

  private ask(name: string, type: MemoryType, layout: ModuleLayout, node: NodeId): PolicyQuestion {
    return this.question(name, type, layout.bytes[type], layout.bytes.text + layout.bytes.rodata, node);
  }

  private question(
    module: string,
    type: MemoryType,
    bytes: number,
    replicableBytes: number,
    loader: NodeId,
  ): PolicyQuestion {
    return {
      module,
      type,
      bytes,
      replicableBytes,
      loader,
      holders: this.view.holders,
      distance: (from, to) => this.machine.distance(from, to),
    };
  }

  private release(module: Module, types: readonly MemoryType[]): void {
    const areas: VmArea[] = [];
    for (const type of types) {
      const memory = module.memories.get(type);
      if (!memory) continue;
      areas.push(memory.area);
      module.memories.delete(type);
    }
    if (types === MEMORY_TYPES) areas.push(...module.thunkPages.splice(0));
    this.vmalloc.freeAll(areas);
    if (types === MEMORY_TYPES && module.percpu !== undefined) this.percpu.give(module.percpu);
  }
}
