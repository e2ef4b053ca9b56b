/** E3 to E5 and the strict permissions, checked on loaded modules by walking every holder's tables. */
import type { NodeId } from "@kreplica/hw-x86/api";
import type { AddressRange, KernelTables, Mapping, ReplicaView } from "@kreplica/mm-core/api";
import type { Vmalloc, VmArea } from "@kreplica/vmalloc/api";
import type { LoadedModule, ModuleLoader } from "./api.js";
import { REPLICATED_TYPES, type MemoryType } from "./sections.js";

/** An invariant that does not hold, with where. */
export interface ModuleFinding { readonly id: "E3" | "E4" | "E5" | "B6" | "C1"; readonly detail: string }

/** What the checks of loaded modules look at. */
export interface ModuleWitnesses {
  readonly loader: ModuleLoader;
  readonly vmalloc: Vmalloc;
  readonly tables: KernelTables;
  readonly view: ReplicaView;
  /** Sites of a patch under way, where copies may differ. */
  readonly patchedNow?: readonly AddressRange[];
}

/** What a memory's pages must allow: writable, executable. */
function wanted(type: MemoryType, module: LoadedModule): readonly [boolean, boolean] {
  if (type === "text" || type === "init-text") return [false, true];
  if (type === "rodata" || type === "init-rodata") return [false, false];
  return [type !== "ro-after-init" || module.state !== "live", false];
}

/** @returns every finding, none when all holds */
export function checkModules(kernel: ModuleWitnesses): ModuleFinding[] {
  return kernel.loader.loaded.flatMap((module) => checkLoaded(kernel, module));
}

/** E4, E5 and strict permissions of one module. */
export function checkLoaded(kernel: ModuleWitnesses, module: LoadedModule): ModuleFinding[] {
  const findings: ModuleFinding[] = [];
  const thunks = module.thunkPages.map((area) => ({ type: "text", name: "thunks", area } as const));
  for (const { type, name, area } of [...[...module.memories.values()].map((memory) => ({ ...memory, name: memory.type })), ...thunks]) {
    const at = `${module.name} ${name}`;
    if (area.state === "replicated" && !REPLICATED_TYPES.includes(type)) findings.push({ id: "E5", detail: `${at} is replicated` });
    const [writable, executable] = wanted(type, module);
    for (let page = 0; page < area.pages; page++) {
      const address = area.start + BigInt(page) * 4096n;
      for (const holder of kernel.view.holders) {
        const mapping = kernel.tables.lookup(holder, address);
        if (mapping?.writable !== writable || mapping.executable !== executable) {
          findings.push({ id: "C1", detail: `${at} page ${page} on node ${holder}: ${describe(mapping)}, wanted ${writable ? "writable" : "read-only"}, ${executable ? "executable" : "not executable"}` });
        }
      }
    }
    if (REPLICATED_TYPES.includes(type)) checkEqual(kernel, at, area, findings);
  }
  return findings;
}

const describe = (mapping: Mapping | undefined): string => (mapping ? `${mapping.writable ? "writable" : "read-only"}, ${mapping.executable ? "executable" : "not executable"}` : "a hole");

/** Relocated words and patched sites are the same whichever node reads them. */
function checkEqual(kernel: ModuleWitnesses, at: string, area: VmArea, findings: ModuleFinding[]): void {
  const seen = (node: NodeId): Uint8Array => {
    const bytes = new Uint8Array(area.pages * 4096);
    kernel.vmalloc.read(node, area, 0, bytes);
    return bytes;
  };
  const first = seen(kernel.view.holders[0]!);
  for (const holder of kernel.view.holders.slice(1)) {
    const other = seen(holder);
    const open = (at: bigint): boolean => (kernel.patchedNow ?? []).some(({ start, end }) => at >= start && at < end);
    const differs = first.findIndex((byte, i) => byte !== other[i] && !open(area.start + BigInt(i)));
    if (differs >= 0) findings.push({ id: "E4", detail: `${at} + 0x${differs.toString(16)}: node ${holder} has another byte` });
  }
}
