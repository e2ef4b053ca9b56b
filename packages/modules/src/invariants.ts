/**
 * Invariants of group E about loaded modules, and their strict permissions, looked at by walking every holder's tables.
 */
import { type AddressRange, hex, type NodeId, PAGE, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { type Finding, findings, inOrder, type Invariant, invariantOf } from "@kreplica/invariants/api";
import type { KernelTables, Mapping, ReplicaView } from "@kreplica/mm-core/api";
import type { Vmalloc, VmArea } from "@kreplica/vmalloc/api";
import type { LoadedModule, ModuleLoader } from "./api.js";
import { REPLICATED_TYPES, type MemoryType } from "./sections.js";

/** What the checks of loaded modules look at. */
export interface ModuleWitnesses {
  readonly loader: ModuleLoader;
  readonly vmalloc: Vmalloc;
  readonly tables: KernelTables;
  readonly view: ReplicaView;
  /** Sites of a patch under way, where copies may differ. */
  readonly patchedNow?: readonly AddressRange[];
}

/** One module under check. */
interface ModuleSubject {
  readonly kernel: ModuleWitnesses;
  readonly module: LoadedModule;
  readonly memories: readonly {
    readonly type: MemoryType;
    /** The module and the memory, for whoever reads a finding. */ readonly name: string;
    readonly area: VmArea;
  }[];
}

const ONLY_TEXT_AND_RODATA: Invariant<ModuleSubject> = {
  id: "E5",
  when: "always",
  where: ["areas"],
  sentence: "module DATA / RO_AFTER_INIT / INIT_* are never REPLICATED",
  check({ memories }, verdict) {
    for (const { type, name, area } of memories) {
      if (area.state === "replicated" && !REPLICATED_TYPES.includes(type)) verdict.fail(`${name} is replicated`);
    }
  },
};

/** C1 of a module's memories. */
const STRICT_PERMISSIONS: Invariant<ModuleSubject> = {
  ...invariantOf("C1"),
  check({ kernel, module, memories }, verdict) {
    for (const { type, name, area } of memories) {
      const [writable, executable] = wanted(type, module);
      for (let page = 0; page < area.pages; page++) {
        for (const holder of kernel.view.holders) {
          const mapping = kernel.tables.lookup(holder, area.start + BigInt(page) * PAGE);
          if (mapping?.writable === writable && mapping.executable === executable) continue;
          verdict.fail(
            `${name} page ${page} on node ${holder}: ${describe(mapping)}, wanted ${rights(writable, executable)}`,
          );
        }
      }
    }
  },
};

/** Relocated words and patched sites are the same whichever node reads them. */
const EQUAL_TEXT: Invariant<ModuleSubject> = {
  id: "E4",
  when: "module load",
  where: ["areas"],
  sentence: "relocated words and alternatives in module TEXT are identical in all replicas when state becomes COMING",
  check({ kernel, memories }, verdict) {
    const { view, vmalloc, patchedNow = [] } = kernel;
    for (const { type, name, area } of memories) {
      if (!REPLICATED_TYPES.includes(type)) continue;
      const seen = (node: NodeId): Uint8Array => {
        const bytes = new Uint8Array(area.pages * PAGE_BYTES);
        vmalloc.read(node, area, 0, bytes);
        return bytes;
      };
      const open = (at: bigint): boolean => patchedNow.some(({ start, end }) => at >= start && at < end);
      const first = seen(view.holders[0]!);
      for (const holder of view.holders.slice(1)) {
        const other = seen(holder);
        const differs = first.findIndex((byte, i) => byte !== other[i] && !open(area.start + BigInt(i)));
        if (differs >= 0) verdict.fail(`${name} + ${hex(differs)}: node ${holder} has another byte`);
      }
    }
  },
};

/** Seen by a formation witness as it happens. */
export const FORMATION_ORDER: Invariant<never> = {
  id: "E3",
  when: "module load",
  where: ["run"],
  sentence: "replicate is called only after the last direct write and before the area becomes executable or RO",
};

const NO_GROWTH: Invariant<never> = {
  id: "E9",
  when: "stress",
  where: ["test packages/bench/test/series/modules.test.ts"],
  sentence:
    "load+unload of the same module m times leaves page-table and frame counts bounded (no monotone " +
    "growth beyond cached PTE pages)",
};

/** All rows of this package, for the list. */
export const MODULE_INVARIANTS: readonly Invariant<never>[] = inOrder<Invariant<never>>([
  FORMATION_ORDER,
  EQUAL_TEXT,
  ONLY_TEXT_AND_RODATA,
  NO_GROWTH,
]);

/** @returns every finding, none when all holds */
export function checkModules(kernel: ModuleWitnesses): Finding[] {
  return kernel.loader.loaded.flatMap((module) => checkLoaded(kernel, module));
}

/** E4, E5 and strict permissions of one module. */
export function checkLoaded(kernel: ModuleWitnesses, module: LoadedModule): Finding[] {
  const memories = [
    ...[...module.memories.values()].map(({ type, area }) => ({ type, name: `${module.name} ${type}`, area })),
    ...module.thunkPages.map((area) => ({ type: "text" as const, name: `${module.name} thunks`, area })),
  ];
  return findings([ONLY_TEXT_AND_RODATA, STRICT_PERMISSIONS, EQUAL_TEXT], { kernel, module, memories });
}

/** What a memory's pages must allow: writable, executable. */
function wanted(type: MemoryType, module: LoadedModule): readonly [boolean, boolean] {
  if (type === "text" || type === "init-text") return [false, true];
  if (type === "rodata" || type === "init-rodata") return [false, false];
  return [type !== "ro-after-init" || module.state !== "live", false];
}

const rights = (writable: boolean, executable: boolean): string =>
  `${writable ? "writable" : "read-only"}, ${executable ? "executable" : "not executable"}`;
const describe = (mapping: Mapping | undefined): string =>
  mapping ? rights(mapping.writable, mapping.executable) : "a hole";
