/** Public surface of numa-replication: the replica view as a plugin, by policy. */
import { bind, bindFactory, bindValue } from "@kreplica/di";
import { EAGER_PGDS, PgdPlan, policy, type Policy, ReplicaView } from "@kreplica/mm-core/api";
import { CopyOnDemand } from "./copy-on-demand.js";
import { CopyPerNode } from "./copy-per-node.js";
import { CopySteps, OWN_STEPS } from "./copy-steps.js";
import { CountedCopies } from "./counted-copies.js";
import { CopiesNow, DemandCopies } from "./demand-api.js";
import { PER_NODE, ReplicationPolicy } from "./policy.js";

export * from "./api.js";
export { cloneBelow } from "./clone-tables.js";
export { CopyPerNode };

/** Replication as decided. @param plan which holders get a PGD for an address space, and when */
export const replicationBy = (decided: ReplicationPolicy, plan: PgdPlan = EAGER_PGDS): Policy =>
  policy(
    decided.name,
    {
      summary: decided.summary,
      alignment: decided.alignment ?? "patch-06",
      holders: (machine, master, copyBytes) => decided.chooseHolders(machine, master, copyBytes),
    },
    [
      bindValue(ReplicationPolicy, decided),
      bindValue(CopySteps, OWN_STEPS),
      ...(decided.onDemand
        ? [
            bind(ReplicaView, CopyOnDemand),
            bindFactory(CopiesNow, () => ({ nodes: [] })),
            bind(DemandCopies, CountedCopies),
          ]
        : [bind(ReplicaView, CopyPerNode)]),
      bindValue(PgdPlan, plan),
    ],
  );

/** The corrected series. */
export const numaReplication = replicationBy(PER_NODE);
