/** The build context as the assembly makes it. */
import { inject, injectable } from "@kreplica/di";
import { Machine, type NodeId } from "@kreplica/hw-x86/api";
import type { BuildContext } from "./build-context-api.js";
import { KernelOptions } from "../options-api.js";
import { BootMemory } from "../memory/boot-memory-api.js";
import { KernelImage } from "../image/kernel-image-api.js";
import { KernelLayout } from "../image/kernel-layout-api.js";
import { PageAllocator } from "../memory/page-allocator-api.js";
import { TableMemory } from "../tables/table-memory-api.js";

/** What the first tables are made with, collected from the bindings of an assembly. */
@injectable()
export class AssembledContext implements BuildContext {
  readonly master: NodeId;
  readonly offline: ReadonlySet<NodeId>;
  constructor(
    @inject(Machine) readonly machine: Machine,
    @inject(TableMemory) readonly entries: TableMemory,
    @inject(PageAllocator) readonly allocator: PageAllocator,
    @inject(BootMemory) readonly early: BootMemory,
    @inject(KernelLayout) readonly layout: KernelLayout,
    @inject(KernelImage) readonly image: KernelImage,
    @inject(KernelOptions) options: KernelOptions,
  ) {
    this.master = options.master;
    this.offline = new Set(options.offlineMemory);
  }
}
