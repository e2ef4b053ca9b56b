/** Which policies are one and the same but for their name and for who holds copies. */
import type { Binding } from "@kreplica/di";
import { ReplicationPolicy } from "@kreplica/numa-replication";
import type { KernelPolicy } from "./kernel-policy.js";

/**
 * What of a policy is not in its booted view. Two policies with the same holders, each node's copy and this are the
 * same kernel.
 * @returns plain values, to be compared as JSON
 */
export const policyLikeness = ({ bindings }: KernelPolicy): unknown[] => bindings.map((each) => bound(each));

const numbers = new WeakMap<object, number>();
let next = 0;

/** Of a replication policy what it copies, which with the holders are all it decides; of all else what is bound. */
function bound({ token, make }: Binding): unknown {
  if (token.key === ReplicationPolicy.key && "value" in make) {
    const { copies, textPages, onDemand } = make.value as ReplicationPolicy;
    return [copies, textPages ?? [], onDemand ? identityOf(onDemand) : null];
  }
  const [of] = Object.values(make) as [unknown];
  if (typeof of !== "object" && typeof of !== "function") return of;
  return of === null ? of : identityOf(of);
}

/** The same number for the same object, of which nothing else is known. */
function identityOf(of: object): number {
  if (!numbers.has(of)) numbers.set(of, next++);
  return numbers.get(of)!;
}
