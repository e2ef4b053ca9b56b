/** The allocator as a plugin: laid over whatever a kernel has. */
import { overlay, plugin } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86/api";
import { BootMemory, PageAllocator } from "@kreplica/mm-core/api";
import { BitmapAllocator } from "./bitmap-allocator.js";

/** For `boot({ plugins: [bitmapAllocator] })`; in a list of plugins of one's own, `override` does the same. */
export const bitmapAllocator = plugin("bitmap-allocator", [
  overlay(PageAllocator, (_ours, get) => new BitmapAllocator(get(Machine), get(BootMemory))),
]);
