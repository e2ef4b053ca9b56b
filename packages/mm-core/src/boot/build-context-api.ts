/** What the builders of the first tables are given: interface and token. */
import { token } from "@kreplica/di";
import type { Machine, NodeId } from "@kreplica/hw-x86/api";
import type { BootMemory } from "../memory/boot-memory-api.js";
import type { KernelImage } from "../image/kernel-image-api.js";
import type { KernelLayout } from "../image/kernel-layout-api.js";
import type { PageAllocator } from "../memory/page-allocator-api.js";
import type { TableMemory } from "../tables/table-memory-api.js";

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
