/** Public surface of numa-replication: the replica view as a plugin, by policy. */
import { bind, bindValue, plugin, type Plugin } from "@kreplica/di";
import { EAGER_PGDS, PgdPlan, ReplicaView } from "@kreplica/mm-core/api";
import { CopyPerNode } from "./copy-per-node.js";
import { CopySteps, OWN_STEPS } from "./copy-steps.js";
import { PER_NODE, ReplicationPolicy } from "./policy.js";

export * from "./api.js";
export { cloneBelow } from "./clone-tables.js";
export { CopyPerNode };

/** Replication by a policy. @param plan which holders get a PGD for an address space, and when */
export const replicationBy = (policy: ReplicationPolicy, plan: PgdPlan = EAGER_PGDS): Plugin =>
  plugin(policy.name, [
    bindValue(ReplicationPolicy, policy),
    bindValue(CopySteps, OWN_STEPS),
    bind(ReplicaView, CopyPerNode),
    bindValue(PgdPlan, plan),
  ]);

/** The corrected series. */
export const numaReplication = replicationBy(PER_NODE);
