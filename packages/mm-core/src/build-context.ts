/** The build context as the assembly makes it. */
import { inject, injectable, token } from "@kreplica/di";
import { Machine, type NodeId } from "@kreplica/hw-x86/api";
import type { BuildContext as Context } from "./early-map.js";
import { KernelOptions } from "./options.js";
import { BootMemory, KernelImage, KernelLayout, PageAllocator } from "./ports.js";
import { TableMemory } from "./table-memory.js";

/** Everything the builders of the first tables need. */
export type BuildContext = Context;
export const BuildContext = token<BuildContext>("mm-core/BuildContext");

@injectable()
export class AssembledContext implements Context {
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
