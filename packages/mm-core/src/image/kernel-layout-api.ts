/** The kernel's virtual address map: interface and token. */
import { token } from "@kreplica/di";

/** Kernel virtual address map. @source Documentation/arch/x86/x86_64/mm.rst */
export interface KernelLayout {
  readonly levels: 4 | 5;
  readonly pti: boolean;
  /** Added to linked image addresses: KASLR, a multiple of 2 MiB. */
  readonly imageOffset: bigint;
  /** Physical address of the byte at _text; independent of {@link imageOffset}. */
  readonly imagePhysical: bigint;
  readonly pageOffset: bigint;
  readonly vmallocStart: bigint;
  /** Last byte. */
  readonly vmallocEnd: bigint;
  readonly vmemmapStart: bigint;
  readonly cpuEntryArea: bigint;
  readonly espfix: bigint;
  readonly kernelMap: bigint;
  readonly modulesStart: bigint;
  /** First byte behind the modules. */
  readonly modulesEnd: bigint;
  readonly fixmapStart: bigint;
  /**
   * First and last byte of KASAN's shadow, and whether areas of vmalloc have shadow of their own
   * (CONFIG_KASAN_VMALLOC); undefined in a kernel without.
   */
  readonly kasan?: { readonly start: bigint; readonly end: bigint; readonly vmalloc: boolean };
  /** PGD index from which slots belong to the kernel and are cloned: 273 without memory KASLR. */
  readonly kernelBoundary: number;
}
export const KernelLayout = token<KernelLayout>("mm-core/KernelLayout");
