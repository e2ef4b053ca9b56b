/** Bytes of text and rodata from the booted copy to a holder's. */
import type { Frame, PhysMemory } from "@kreplica/hw-x86/api";

/** @patch 03/12 mm/numa_replication.c replicate_kernel_text, replicate_kernel_rodata */
export function copyPages(memory: PhysMemory, from: Frame, to: Frame, pages: number): void {
  for (let page = 0; page < pages; page++) memory.copyFrame(from + page, to + page);
}
