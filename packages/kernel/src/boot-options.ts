/** What a kernel is asked for: a machine, a policy, and whatever is not as usual. */
import type { Plugin } from "@kreplica/di";
import type { Frame, MachineSpec, NodeId } from "@kreplica/hw-x86";
import type { Alignment, KernelImage, KernelOptions } from "@kreplica/mm-core";
import type { LaidFault } from "@kreplica/series-as-posted";
import type { RecordedGuest } from "@kreplica/trace";
import type { BootParts } from "./boot-parts.js";
import type { PolicyChoice } from "./kernel-policy.js";

/** Choices; what is left out is as usual. */
export interface BootOptions {
  readonly spec: MachineSpec;
  /** A policy's name, or the policy itself; the corrected series when absent. */
  readonly policy?: PolicyChoice;
  readonly levels?: 4 | 5;
  readonly pti?: boolean;
  /** CPUs have PCIDs; false is what the recording's emulator had. */
  readonly pcid?: boolean;
  /** The node whose memory the image lies in. When absent the first with memory, with KASLR of text any, as drawn. */
  readonly masterNode?: NodeId;
  /** When absent the first CPU on which the kernel comes up. */
  readonly bootCpu?: number;
  /** What is booted, or how it is had with either alignment. */
  readonly image: KernelImage | ((alignment: Alignment) => KernelImage);
  /** Ends of text and rodata, the policy's when absent; ignored with an image that has its own. */
  readonly alignment?: Alignment;
  readonly kaslr?: { readonly text?: boolean; readonly memory?: boolean };
  /** Nodes whose memory is plugged in later. */
  readonly offlineMemory?: readonly NodeId[];
  /**
   * The kernel checks its accesses: an eighth of memory is shadow. Without vmalloc: its areas have no shadow of their
   * own, as without CONFIG_KASAN_VMALLOC.
   */
  readonly kasan?: boolean | "without vmalloc";
  readonly seed?: number;
  /**
   * The nodes that stand for those of the recorded guest: of its image, and of all other memory; the first two with
   * memory when absent.
   */
  readonly recordedNodes?: readonly [NodeId, NodeId];
  /** The guest of the recording that this kernel is to replay; the shipped ones' when absent. */
  readonly guest?: RecordedGuest;
  /**
   * Another order of the recorded guest's frames, as if its allocator had handed out others: one for one, within a node
   * of the guest, its image left where it is. As recorded when absent.
   */
  readonly recordedFrames?: (recorded: Frame) => Frame;
  /** Defects of the series laid over the kernel, in place of those that come with the policy. */
  readonly defects?: readonly LaidFault[];
  /**
   * Further frames the kernel may not have: those a recording uses on a machine too small to set the whole guest aside.
   */
  readonly reserved?: KernelOptions["reserved"];
  /** Subsystems beside the core: set-memory, vmalloc, text-patch and what else a caller wants on this kernel. */
  readonly plugins?: readonly Plugin[];
  /** Called with the kernel before its first step: to add to steps, or to refuse allocations. */
  readonly before?: (parts: BootParts) => void;
}
