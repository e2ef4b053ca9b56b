/**
 * The replica view of a kernel whose copies come later: holders have their own tables from the boot on, and leaves that
 * lead to the master's text until they are given copies.
 */
import { inject, injectable } from "@kreplica/di";
import { Machine, type NodeId } from "@kreplica/hw-x86/api";
import { BuildContext, type ReplicaView } from "@kreplica/mm-core/api";
import { CopyPerNode } from "./copy-per-node.js";
import { CopySteps } from "./copy-steps.js";
import { CopiesNow } from "./demand-api.js";
import { ReplicationPolicy } from "./policy.js";

/** As {@link CopyPerNode}, with copies as {@link CopiesNow} says. */
@injectable()
export class CopyOnDemand extends CopyPerNode {
  constructor(
    @inject(Machine) machine: Machine,
    @inject(BuildContext) context: BuildContext,
    @inject(ReplicationPolicy) policy: ReplicationPolicy,
    @inject(CopySteps) steps: CopySteps,
    @inject(CopiesNow) private readonly now: CopiesNow,
  ) {
    super(machine, context, policy, steps);
  }

  get copyHolders(): readonly NodeId[] {
    return [this.master, ...this.now.nodes].sort((a, b) => a - b);
  }

  override get copies(): ReplicaView["copies"] {
    return { ...super.copies, text: this.now.nodes.length > 0 };
  }
}
