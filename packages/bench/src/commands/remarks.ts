/**
 * What makes a question pointless or its machine doubtful: said on standard error, beside a result that is right all
 * the same.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { type KernelPolicy, replicates } from "@kreplica/kernel";
import { presets } from "@kreplica/machines";
import type { CommandContext } from "./command.js";

/** @param policy that is asked about; absent where none is */
export function remarksOn(spec: MachineSpec, policy?: KernelPolicy): string[] {
  const remarks: string[] = [];
  if (policy !== undefined && replicates(policy) && spec.nodes.filter((node) => node.memoryBytes > 0).length === 1) {
    // A machine from accounts says at its description's end which preset filled what they leave open.
    const like = presets.find(({ name, nodes }) => nodes.length > 1 && spec.description.endsWith(`, on ${name}`));
    remarks.push(
      `${spec.name} has one node with memory: there is nothing to replicate, every policy is a single copy${like ? `; ${like.name} has such processors, and ${like.nodes.length} nodes` : ""}`,
    );
  }
  // `machine` shows the guess itself: it asks about no policy.
  if (policy !== undefined && spec.assumedTopology !== undefined && spec.nodes.length > 1) {
    remarks.push(
      `${spec.name}: which nodes are one socket is a guess (\`kreplica machine\` shows it); a copy of /sys/devices/system with node and cpu, or JSON, says it`,
    );
  }
  for (const [i, from] of spec.nodes.entries()) {
    if (!spec.cpus.some((cpu) => cpu.node === from.id) || from.memoryBytes === 0) continue;
    const own = spec.latencyNs[i]![i]!;
    const j = spec.latencyNs[i]!.findIndex((ns, to) => to !== i && spec.nodes[to]!.memoryBytes > 0 && ns < own);
    if (j >= 0)
      remarks.push(
        `${spec.name}: memory of node ${spec.nodes[j]!.id} is nearer to the CPUs of node ${from.id} (${spec.latencyNs[i]![j]!} ns) than their own (${own} ns); check the matrix, its rows are nodes of CPUs`,
      );
  }
  return remarks;
}

/** Says them. */
export function remarkOn(context: CommandContext, spec: MachineSpec, policy?: KernelPolicy): void {
  for (const remark of remarksOn(spec, policy)) context.remark(remark);
}
