/**
 * A budget for copies: each may take a share of the memory of the nodes that use it, and who cannot pay joins others.
 */
import { type Machine, type NodeId, PAGE_BYTES } from "@kreplica/hw-x86/api";
import type { NodeGroup } from "./node-groups.js";
import type { ReplicationPolicy } from "./policy.js";

/**
 * A copy on every node that can pay for it from its own memory; nodes that cannot join the nearest others, group by
 * group, until together they can. The master's group pays nothing: its copy is the booted one.
 *
 * @param percent above 0, at most 100: how much of the memory of all nodes of a group one copy may take
 */
export function withinBudget(percent: number, name = "budget"): ReplicationPolicy {
  const groups = (machine: Machine, master: NodeId, copyBytes: number): NodeGroup[] =>
    groupsThatPay(machine, master, (copyBytes * 100) / percent);
  return {
    name,
    summary: `a copy takes at most ${percent} % of the memory of the nodes that share it, as few of them as can pay`,
    copies: { text: true, rodata: true },
    chooseHolders: (machine, master, copyBytes) =>
      groups(machine, master, copyBytes).map((group) => (group.includes(master) ? master : richest(group, machine))),
    groups,
  };
}

/**
 * Groups of nodes, each with that much memory or with the master in it. The poorest group that cannot pay joins the
 * one nearest to it, by the shortest of the distances between their nodes; of those alike the first.
 * @returns ascending by their first nodes, and so is each; every node is in one
 */
export function groupsThatPay(machine: Machine, master: NodeId, bytes: number): NodeGroup[] {
  const memoryOf = (group: NodeGroup): number => group.reduce((sum, node) => sum + memoryBytes(machine, node), 0);
  const distance = (from: NodeGroup, to: NodeGroup): number =>
    Math.min(...from.flatMap((a) => to.map((b) => Math.max(machine.distance(a, b), machine.distance(b, a)))));
  let groups: NodeGroup[] = [...machine.nodes].sort((a, b) => a - b).map((node) => [node]);
  for (;;) {
    const poor = groups.filter((group) => !group.includes(master) && memoryOf(group) < bytes);
    if (poor.length === 0) return groups;
    const joining = poor.reduce((least, each) => (memoryOf(each) < memoryOf(least) ? each : least));
    const others = groups.filter((group) => group !== joining);
    const joined = others.reduce((near, each) => (distance(joining, each) < distance(joining, near) ? each : near));
    const together = [...joining, ...joined].sort((a, b) => a - b);
    groups = [...others.filter((group) => group !== joined), together].sort((a, b) => a[0]! - b[0]!);
  }
}

const memoryBytes = ({ memory }: Machine, node: NodeId): number =>
  PAGE_BYTES * memory.ranges.reduce((sum, range) => sum + (range.node === node ? range.frames : 0), 0);

/** The node with most memory; the first of those alike. */
const richest = (group: NodeGroup, machine: Machine): NodeId =>
  group.reduce((best, each) => (memoryBytes(machine, each) > memoryBytes(machine, best) ? each : best));
