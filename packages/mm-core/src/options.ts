/** What may be chosen about a boot, beside machine, image and layout: plain data, bound as a value. */
import { token } from "@kreplica/di";
import type { CpuId, Frame, NodeId } from "@kreplica/hw-x86/api";

/**
 * Defects of the series as posted that this package can lay over a kernel, by their id in series.md 8.2.
 *
 * D2 a spurious fault is never recognised; D3 the debug check of CR3 expects node 0's root; D8 a failed fork frees the parent's PGDs;
 * D11 the LDT is mapped in node 0's user half alone; N1 no-ops are made long in the copy of the boot CPU's node alone;
 * N2 the permission call for idt_table reaches one root; remote-table: private tables come from the node of the CPU that runs.
 */
export type KernelDefect = "D2" | "D3" | "D8" | "D11" | "N1" | "N2" | "remote-table";

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
  readonly defects?: ReadonlySet<KernelDefect>;
}
export const KernelOptions = token<KernelOptions>("mm-core/KernelOptions");
