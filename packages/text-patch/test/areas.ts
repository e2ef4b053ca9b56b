/** Areas and permissions on a test's kernel, and pages of instructions from them. */
import { assemble, bindValue, plugin } from "@kreplica/di";
import { Machine, PhysMemory } from "@kreplica/hw-x86/api";
import {
  CpuState,
  KernelImage,
  KernelLayout,
  KernelOptions,
  KernelTables,
  PageAllocator,
  ReplicaView,
  SharedMemory,
  TableMemory,
  TextUsers,
} from "@kreplica/mm-core/api";
import { setMemory, SetMemory } from "@kreplica/set-memory";
import { vmalloc, Vmalloc } from "@kreplica/vmalloc";
import { InsnPages } from "../src/api.js";
import type { PatchKernel } from "./kernel.js";

/** What {@link areasOn} gives. */
export interface Areas {
  readonly areas: Vmalloc;
  readonly permissions: SetMemory;
  /** Slots of that many bytes, behind what the tests map by hand. */
  pages(bytes: number): InsnPages;
}

/** vmalloc and set_memory over the kernel's own tables, allocator and users of text. */
export function areasOn(kernel: PatchKernel): Areas {
  const assembly = assemble([
    plugin("kernel", [
      bindValue(Machine, kernel.machine),
      bindValue(PhysMemory, kernel.machine.memory),
      bindValue(KernelTables, kernel.tables),
      bindValue(TableMemory, kernel.entries),
      bindValue(ReplicaView, kernel.view),
      bindValue(KernelLayout, kernel.layout),
      bindValue(KernelImage, kernel.image),
      bindValue(PageAllocator, kernel.allocator),
      bindValue(CpuState, kernel.cpus),
      bindValue(KernelOptions, kernel.options),
      bindValue(TextUsers, kernel.textUsers),
      bindValue(SharedMemory, { frames: new Set<number>(), note: () => undefined }),
    ]),
    vmalloc,
    setMemory,
  ]);
  const areas = assembly.get(Vmalloc);
  const permissions = assembly.get(SetMemory);
  return {
    areas,
    permissions,
    pages: (bytes) =>
      new InsnPages(
        areas,
        permissions,
        kernel.poke,
        { ...kernel.layout, modulesStart: 0xffff_ffff_d000_0000n },
        bytes,
        0,
      ),
  };
}
