/** D14: memory of any node is taken for copies and tables. */
import { overlay } from "@kreplica/di";
import { CopySteps } from "@kreplica/numa-replication/api";
import type { SeriesDefect } from "./defect.js";

export const D14: SeriesDefect = {
  id: "D14",
  sentence: "memory of any node is taken for copies and tables",
  patch: "03/12 mm/numa_replication.c numa_pgt",
  effect: "a node too small for a copy silently runs one that lies elsewhere",
  breaks: ["A2"],
  confirmed: "seen on a running kernel",
  configuration: "small node",
  overlays: [overlay(CopySteps, (steps): CopySteps => ({ ...steps, memory: "any node's" }))],
};
