/** D9: the direct map's view of rodata copies stays writable. */
import { overlay } from "@kreplica/di";
import { CopySteps } from "@kreplica/numa-replication/api";
import type { SeriesDefect } from "./defect.js";

export const D9: SeriesDefect = {
  id: "D9",
  sentence: "the direct map's view of rodata copies stays writable",
  patch: "03/12 mm/numa_replication.c numa_replicate_kernel_rodata",
  effect:
    "copies of rodata, made after the original became read-only, can be written through the direct map; those of text cannot",
  breaks: ["C3"],
  confirmed: "seen on a running kernel",
  overlays: [overlay(CopySteps, (steps): CopySteps => ({ ...steps, sealed: { ...steps.sealed, rodata: false } }))],
};
