/** Bytes of text and rodata from the booted copy to a holder's. */
import type { Frame, PhysMemory } from "@kreplica/hw-x86/api";
import type { CopiedPart } from "./placement.js";

/**
 * @param to first frame of the holder's copy; that of the booted one: nothing is copied
 * @patch 03/12 mm/numa_replication.c replicate_kernel_text, replicate_kernel_rodata
 */
export function copyPages(memory: PhysMemory, { original, places }: CopiedPart, to: Frame): void {
  if (to === original) return;
  places.forEach((place, page) => {
    if (place !== -1) memory.copyFrame(original + page, to + place);
  });
}
