/** Bytes of text and rodata from the booted copy to a holder's. */
import type { Frame, PhysMemory } from "@kreplica/hw-x86/api";
import { LARGE_PAGES } from "./placement.js";

/** @patch 03/12 mm/numa_replication.c replicate_kernel_text, replicate_kernel_rodata */
export function copyPages(memory: PhysMemory, from: Frame, to: Frame, pages: number): void {
  for (let page = 0; page < pages; page++) memory.copyFrame(from + page, to + page);
}

/** Whether a part's last 2 MiB are only partly its own. */
export const hasTail = (pages: number): boolean => pages % LARGE_PAGES !== 0;
