/** alias-stays-writable: read-only pages can be written through the direct map. */
import { overlay } from "@kreplica/di";
import { SetMemory } from "@kreplica/set-memory/api";
import type { Bug } from "../bug.js";

export const ALIAS: Bug = {
  id: "alias-stays-writable",
  room: "set_memory",
  sentence: "pages become read-only at one address and stay writable in the direct map",
  happened:
    "Every page the kernel maps elsewhere has a view in the direct map. Where a change of rights did not follow it there, text and constants of modules and BPF could be overwritten by whoever can write to memory at all.",
  mended:
    "set_memory takes the direct map's view along (cpa_process_alias); where areas are freed, 5.2 (2019) gives the view back in one place.",
  commits: [{ id: "868b104d7379", subject: "mm/vmalloc: Add flag for freeing of special permsissions" }],
  invariant: "C3",
  kernel: {},
  path: [{ op: "setmem", change: "ro", page: 0, pages: 1 }],
  copies: {
    without: "C3",
    with: "C3",
    words: "Worse where pages have copies: each copy has a view of its own to follow.",
  },
  overlays: [
    overlay(SetMemory, (memory) => {
      memory.readOnly = (range) => {
        memory.change(range, { writable: false }, false);
      };
      return memory;
    }),
  ],
};
