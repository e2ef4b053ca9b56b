/** What may be chosen about a boot, beside machine, image and layout: plain data, bound as a value. */
import { token } from "@kreplica/di";
import type { CpuId, Frame, NodeId } from "@kreplica/hw-x86/api";

/** What may be chosen about a boot beside machine, image and layout. */
export interface KernelOptions {
  /** Node whose memory the boot loader put the image in. */
  readonly master: NodeId;
  /** CPU that boots. */
  readonly bootCpu: CpuId;
  /** CPUs have PCIDs: KPTI then keeps only the entry text in the user half. */
  readonly pcid: boolean;
  /** Seeds whatever is drawn. */
  readonly seed: number;
  /** Frames nobody may have: what a recording uses and the replay maps. */
  readonly reserved: readonly { readonly first: Frame; readonly frames: number }[];
  /** Nodes whose memory is plugged in later: MemoryHotplug takes it into use. */
  readonly offlineMemory?: readonly NodeId[];
}
export const KernelOptions = token<KernelOptions>("mm-core/KernelOptions");
