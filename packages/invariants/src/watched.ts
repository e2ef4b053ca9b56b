/** The parts of a kernel that a check or a witness looks at: the machine's bytes and the roots its CPUs use. */
import type { Machine } from "@kreplica/hw-x86/api";
import type {
  KernelImage,
  KernelLayout,
  KernelOptions,
  PageAllocator,
  ReplicaView,
  TableMemory,
} from "@kreplica/mm-core/api";

/** What is there from the first step of a boot on. */
export interface WatchedKernel {
  readonly machine: Machine;
  readonly entries: TableMemory;
  readonly layout: KernelLayout;
  readonly image: KernelImage;
  readonly options: KernelOptions;
  readonly view: ReplicaView;
  readonly allocator: PageAllocator;
}
