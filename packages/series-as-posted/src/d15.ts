/** D15: the user halves of all nodes lead to node 0's tables. */
import { overlay } from "@kreplica/di";
import { CopySteps } from "@kreplica/numa-replication/api";
import type { SeriesDefect } from "./defect.js";

export const D15: SeriesDefect = {
  id: "D15",
  sentence: "the user halves of all nodes lead to node 0's tables",
  patch: "03/12 mm/numa_replication.c numa_replicate_kernel",
  effect: "with KPTI every CPU fetches entry text from node 0's copy while it is in the user half",
  breaks: ["C8", "G11"],
  confirmed: "seen on a running kernel",
  overlays: [overlay(CopySteps, (steps): CopySteps => ({ ...steps, userHalf: "the boot table's" }))],
};
