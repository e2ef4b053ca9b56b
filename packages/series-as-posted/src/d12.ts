/**
 * D12: VM_NUMA_SHARED has the bit of VM_DEFER_KMEMLEAK, with KASAN but without KASAN_VMALLOC; shows by callers outside
 * the tree alone: on x86 6.5's module_alloc asks for either, always for both.
 */
import { overlay } from "@kreplica/di";
import { AreaBits } from "@kreplica/vmalloc/api";
import type { SeriesDefect } from "./defect.js";

export const D12: SeriesDefect = {
  id: "D12",
  sentence:
    "VM_NUMA_SHARED has the bit of VM_DEFER_KMEMLEAK, with KASAN but without KASAN_VMALLOC; shows by callers outside the tree alone: on x86 6.5's module_alloc asks for either, always for both",
  patch: "10/12 include/linux/vmalloc.h VM_NUMA_SHARED",
  effect:
    "an area with one node's memory for all is never told to the leak tracker, or one elsewhere is taken for a shared one",
  breaks: ["E12"],
  confirmed: "read in the patch",
  configuration: "KASAN without vmalloc",
  overlays: [overlay(AreaBits, (corrected) => ({ shared: 0x800, deferTracking: corrected.deferTracking }))],
};
