/** Policies under which nodes share a copy by groups: groups that are given, or sockets as their distances say. */
import type { Machine, NodeId } from "@kreplica/hw-x86/api";
import { memoryNodes, type ReplicationPolicy } from "./policy.js";

/** Nodes that share one copy. */
export type NodeGroup = readonly NodeId[];

/** One holder a group: the master in its own, in others the first node with memory; none in a group without memory. */
function holdersOf(groups: readonly NodeGroup[], machine: Machine, master: NodeId): NodeId[] {
  const withMemory = memoryNodes(machine);
  return groups.flatMap((group) => {
    const holder = group.includes(master) ? master : withMemory.find((node) => group.includes(node));
    return holder === undefined ? [] : [holder];
  });
}

/**
 * One copy for each group of nodes, whatever their distances.
 * @param groups no node in two of them; a node in none uses the nearest copy
 */
export const byGroups = (groups: readonly NodeGroup[], name = "groups"): ReplicationPolicy => ({
  name,
  summary: `one copy for each group of nodes: ${groups.map((group) => group.join("+")).join(", ")}`,
  copies: { text: true, rodata: true },
  chooseHolders: (machine, master) => holdersOf(groups, machine, master),
  groups: () => groups,
});

/**
 * One copy for every socket that has CPUs, where nodes are one socket up to a SLIT distance, directly or by way of
 * others.
 * @param distance from 10, a node's to itself, to 254; the larger of both directions counts
 */
export function perDistance(distance: number, name = "per-socket"): ReplicationPolicy {
  const groups = (machine: Machine): NodeGroup[] => socketsWithin(machine, distance);
  return {
    name,
    summary: `one copy a socket, on its first node with memory; nodes within a SLIT distance of ${distance} are one socket`,
    copies: { text: true, rodata: true },
    chooseHolders: (machine, master) =>
      holdersOf(
        groups(machine).filter((group) =>
          group.some((node) => node === master || machine.spec.cpus.some((cpu) => cpu.node === node)),
        ),
        machine,
        master,
      ),
    groups,
  };
}

function socketsWithin(machine: Machine, distance: number): NodeGroup[] {
  const left = new Set(machine.nodes);
  const groups: NodeId[][] = [];
  for (const first of machine.nodes) {
    if (!left.delete(first)) continue;
    const group = [first];
    for (const from of group) {
      for (const to of [...left]) {
        if (Math.max(machine.distance(from, to), machine.distance(to, from)) > distance) continue;
        left.delete(to);
        group.push(to);
      }
    }
    groups.push(group.sort((a, b) => a - b));
  }
  return groups;
}
