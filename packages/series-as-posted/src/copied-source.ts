/** copied-source: copies are made and never mapped. */
import { overlay } from "@kreplica/di";
import { CopySteps } from "@kreplica/numa-replication/api";
import type { SeriesDefect } from "./defect.js";

export const COPIED_SOURCE: SeriesDefect = {
  id: "copied-source",
  sentence: "copies are made and never mapped",
  patch: "none: Dave Hansen's prototype of 2003 for i386",
  effect: "every node goes on fetching the original",
  breaks: ["A2", "A3"],
  confirmed: "known of another design",
  overlays: [overlay(CopySteps, (steps): CopySteps => ({ ...steps, mapsCopies: false }))],
};
