/** D7: the flush after an area is freed forgets its copies. */
import { overlay } from "@kreplica/di";
import { AliasFlush } from "@kreplica/vmalloc/api";
import type { SeriesDefect } from "./defect.js";

export const D7: SeriesDefect = {
  id: "D7",
  sentence: "the flush after an area is freed forgets its copies",
  patch: "10/12 mm/vmalloc.c vm_reset_perms",
  effect: "CPUs keep translations of the direct map's view of copies that are free again",
  breaks: ["E6"],
  confirmed: "read in the patch",
  overlays: [overlay(AliasFlush, () => ({ framesToFlush: (area) => area.frames }))],
};
