/** What the builders of the first tables are given: interface and token. */
import { token } from "@kreplica/di";
import type { Machine, NodeId } from "@kreplica/hw-x86/api";
import type { BootMemory, KernelImage, KernelLayout, PageAllocator } from "./ports.js";
import type { TableMemory } from "./table-memory-api.js";

/** Everything the builders of the first tables need. */
export interface BuildContext {
  readonly machine: Machine;
  readonly entries: TableMemory;
  readonly allocator: PageAllocator;
  readonly early: BootMemory;
  readonly layout: KernelLayout;
  readonly image: KernelImage;
  /** Node that holds the image. */
  readonly master: NodeId;
  /** Nodes whose memory is not in use at boot. */
  readonly offline: ReadonlySet<NodeId>;
}
export const BuildContext = token<BuildContext>("mm-core/BuildContext");
