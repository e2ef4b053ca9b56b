/** The parts of an assembled kernel, each by its port: what a boot, an account of memory or a replay takes hold of. */
import type { Assembly } from "@kreplica/di";
import type { Machine } from "@kreplica/hw-x86";
import type {
  AddressSpaces,
  BootMemory,
  BuildContext,
  CpuState,
  KernelBoot,
  KernelImage,
  KernelLayout,
  KernelOptions,
  KernelTables,
  PageAllocator,
  ReplicaView,
  SwitchMm,
  TableMemory,
} from "@kreplica/mm-core";

/** The kernel's parts, by port. */
export interface BootParts {
  readonly assembly: Assembly;
  readonly machine: Machine;
  readonly image: KernelImage;
  readonly layout: KernelLayout;
  readonly options: KernelOptions;
  readonly tables: KernelTables;
  readonly entries: TableMemory;
  readonly view: ReplicaView;
  readonly allocator: PageAllocator;
  readonly early: BootMemory;
  readonly spaces: AddressSpaces;
  readonly switcher: SwitchMm;
  readonly cpus: CpuState;
  readonly boot: KernelBoot;
  readonly context: BuildContext;
}
