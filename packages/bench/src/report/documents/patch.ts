/** What `kreplica patch --json` prints. */
import type { PatchCost, PatchSite } from "@kreplica/replay";

/** What one change of kernel text costs, against copies and CPUs. */
export interface PatchDocument {
  readonly schema: "kreplica.patch/1";
  /** Name of the machine. */
  readonly machine: string;
  /** What is changed. */
  readonly site: PatchSite;
  /** Changes measured, after as many to warm up. */
  readonly changes: number;
  /** Cycles are the model's, no computer's. */
  readonly modelled: true;
  /** CPU that patches. */
  readonly cpu: number;
  /** Its node. */
  readonly node: number;
  /** Which nodes have CPUs on line at each number of them. */
  readonly online: readonly OnlineCpus[];
  /** Policies in the order they were asked for, each with every number of CPUs. */
  readonly costs: readonly PatchCost[];
}

/** So many CPUs, by number, and the nodes they are on. */
export interface OnlineCpus {
  readonly cpus: number;
  readonly nodes: readonly number[];
}

/** @param measured all but the schema and what is true of every one */
export const patchDocument = ({
  machine,
  site,
  changes,
  cpu,
  node,
  online,
  costs,
}: Omit<PatchDocument, "schema" | "modelled">): PatchDocument => ({
  schema: "kreplica.patch/1",
  machine,
  site,
  changes,
  modelled: true,
  cpu,
  node,
  online,
  costs,
});
