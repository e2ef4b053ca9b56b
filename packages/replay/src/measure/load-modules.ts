/** Loads modules one after another and counts what each cost. */
import { type CpuId, type NodeId, PAGE_BYTES } from "@kreplica/hw-x86/api";
import type { ModuleKernel } from "@kreplica/kernel";
import {
  type LoadedModule,
  ModuleError,
  type ModuleErrorCode,
  type ModuleFile,
  type ReplicationCost,
} from "@kreplica/modules";
import { LoadMeter, type ModelledCycles, sumCycles } from "./load-meter.js";

/** One module's cost. */
export interface ModuleCost {
  readonly name: string;
  readonly textBytes: number;
  readonly rodataBytes: number;
  /** All kinds of memory that stay, whole pages. */
  readonly keptBytes: number;
  /** Copies of text beside the base: 0 where it is shared. */
  readonly copies: number;
  /** Bytes of whole pages on each node while it is loaded, all its memories and copies. */
  readonly bytesByNode: readonly { readonly node: NodeId; readonly bytes: number }[];
  readonly relocations: number;
  /** Sites listed, and written. */
  readonly sites: number;
  readonly patched: number;
  /** Table stores, flushes and page-allocator requests of load, init and the freeing of init memory. */
  readonly stores: number;
  readonly flushes: number;
  readonly requests: number;
  /** The part of them that giving copies took. */
  readonly replication: ReplicationCost;
  /** Of its stores, those that keep the boot table in step with the master's: the series leaves them out (D4). */
  readonly bootTableStores: number;
  /** Cycles on the modelled machine: giving copies, and all table work of the load. */
  readonly modelled: { readonly copies: ModelledCycles; readonly all: ModelledCycles };
  /** CPU time of this computer, the model's own work included; measured. */
  readonly milliseconds: number;
}

/** A module the kernel would not have. */
export interface RefusedModule {
  readonly name: string;
  readonly code: ModuleErrorCode;
  /** As the loader says it: begins with the module's name. */
  readonly reason: string;
}

/** Why a kernel refuses what was built for another one. */
export const OF_ANOTHER_KERNEL: ReadonlySet<ModuleErrorCode> = new Set(["vermagic", "version", "unknown-symbol"]);

/** What a run of loads cost in all. */
export interface ModuleCosts {
  readonly modules: readonly ModuleCost[];
  /** Modules that the kernel refused, and why. */
  readonly refused: readonly RefusedModule[];
  readonly milliseconds: number;
}

/** CPU time in milliseconds; handed in so that tests need none. */
export type Clock = () => number;

/**
 * Loads each file and runs its init to the end.
 * @param cpu that loads; a module that is refused is noted, and the next one is loaded
 */
export function loadModules(
  kernel: ModuleKernel,
  files: readonly ModuleFile[],
  cpu: CpuId,
  clock: Clock,
  onLoaded: (name: string) => void = () => {},
): ModuleCosts {
  const node = kernel.machine.nodeOfCpu(cpu);
  const meter = LoadMeter.of(kernel, cpu);
  const modules: ModuleCost[] = [];
  const refused: RefusedModule[] = [];
  const begin = clock();
  for (const file of files) {
    meter.start();
    const before = {
      ...kernel.tables.stores,
      flushes: kernel.tables.flushes,
      requests: kernel.allocator.requests,
      time: clock(),
    };
    try {
      const module = kernel.loader.load(file, node);
      kernel.loader.finishInit(module);
      modules.push({
        ...measure(kernel, module),
        stores: kernel.tables.stores.total - before.total,
        flushes: kernel.tables.flushes - before.flushes,
        requests: kernel.allocator.requests - before.requests,
        modelled: meter.read(),
        milliseconds: clock() - before.time,
      });
    } catch (error) {
      // Anything else is a defect of ours, and must not pass for one of the module's.
      if (!(error instanceof ModuleError)) throw error;
      refused.push({ name: file.name, code: error.code, reason: error.message });
    }
    onLoaded(file.name);
  }
  return { modules, refused, milliseconds: clock() - begin };
}

function measure(
  kernel: ModuleKernel,
  module: LoadedModule,
): Omit<ModuleCost, "stores" | "flushes" | "requests" | "modelled" | "milliseconds"> {
  const byNode = new Map<NodeId, number>(kernel.machine.nodes.map((node) => [node, 0]));
  let kept = 0;
  for (const area of [...[...module.memories.values()].map((memory) => memory.area), ...module.thunkPages]) {
    kept += area.pages * PAGE_BYTES;
    for (const frames of [area.frames, ...area.copies.values()]) {
      for (const frame of frames) {
        const node = kernel.machine.memory.nodeOf(frame);
        byNode.set(node, (byNode.get(node) ?? 0) + 4096);
      }
    }
  }
  const sum = (counts: Iterable<number | undefined>): number =>
    [...counts].reduce<number>((total, each) => total + (each ?? 0), 0);
  const memories = [...module.memories.values()];
  // Where the boot table does not lead to the master's own tables, it gets the master's copy wherever the base copy is
  // another's.
  const boot = kernel.view.roots.find(({ kind }) => kind === "boot");
  const slot = (root: number): number => kernel.entries.low(root, 511);
  const bootTable = boot !== undefined && slot(boot.root) !== slot(kernel.view.kernelRoot(kernel.view.master));
  return {
    replication: module.replicationCost,
    bootTableStores: bootTable
      ? sum(
          memories.map(({ area }) =>
            area.copies.has(kernel.view.master) ? area.pages / (area.level === 2 ? 512 : 1) : 0,
          ),
        )
      : 0,
    name: module.name,
    textBytes: module.memories.get("text")?.bytes ?? 0,
    rodataBytes: module.memories.get("rodata")?.bytes ?? 0,
    keptBytes: kept,
    copies: module.memories.get("text")?.area.copies.size ?? 0,
    bytesByNode: [...byNode].map(([node, bytes]) => ({ node, bytes })),
    relocations: sum(module.relocations.values()),
    sites: sum(Object.values(module.sites)),
    patched: sum(Object.values(module.patched)),
  };
}

/** Sums over modules. */
export function totalOf(costs: readonly ModuleCost[]): Omit<ModuleCost, "name" | "copies"> {
  const sum = (of: (cost: ModuleCost) => number): number => costs.reduce((total, cost) => total + of(cost), 0);
  const nodes = costs[0]?.bytesByNode.map(({ node }) => node) ?? [];
  return {
    textBytes: sum((cost) => cost.textBytes),
    rodataBytes: sum((cost) => cost.rodataBytes),
    keptBytes: sum((cost) => cost.keptBytes),
    bytesByNode: nodes.map((node, i) => ({ node, bytes: sum((cost) => cost.bytesByNode[i]!.bytes) })),
    relocations: sum((cost) => cost.relocations),
    replication: {
      stores: sum((cost) => cost.replication.stores),
      flushes: sum((cost) => cost.replication.flushes),
      requests: sum((cost) => cost.replication.requests),
    },
    bootTableStores: sum((cost) => cost.bootTableStores),
    sites: sum((cost) => cost.sites),
    patched: sum((cost) => cost.patched),
    stores: sum((cost) => cost.stores),
    flushes: sum((cost) => cost.flushes),
    requests: sum((cost) => cost.requests),
    modelled: {
      copies: sumCycles(costs.map((cost) => cost.modelled.copies)),
      all: sumCycles(costs.map((cost) => cost.modelled.all)),
    },
    milliseconds: sum((cost) => cost.milliseconds),
  };
}
