/** D4: the boot table learns nothing after it was cloned. */
import { overlay } from "@kreplica/di";
import { CopySteps } from "@kreplica/numa-replication/api";
import type { SeriesDefect } from "./defect.js";

export const D4: SeriesDefect = {
  id: "D4",
  sentence: "the boot table learns nothing after it was cloned",
  patch: "03/12 mm/numa_replication.c numa_replicate_kernel",
  effect:
    "init_top_pgt keeps the original image writable and executable, past the check for such pages, and never has later modules: a crash dump that walks from there misses them",
  breaks: ["C2", "C4"],
  confirmed: "seen on a running kernel",
  overlays: [overlay(CopySteps, (steps): CopySteps => ({ ...steps, master: "cloned tables" }))],
};
