/** What may follow a policy's name and a colon: `every-nth:4`, `groups:0-1,2-3`, `per-socket:21`. */
import type { MachineSpec, NodeId } from "@kreplica/hw-x86";
import { byGroups, everyNth, type NodeGroup, perDistance, replicationBy } from "@kreplica/numa-replication";
import type { KernelPolicy, PolicyFault } from "./kernel-policy.js";

/** A parameter of a policy. */
export interface PolicyParameter {
  /** As the help writes what follows the colon. */
  readonly form: string;
  /** What it says, a clause. */
  readonly about: string;
  /** One that can be written. */
  readonly example: string;
  /** The policy with it. @param name of both, colon included @returns why it is none, a clause */
  readonly make: (parameter: string, name: string) => KernelPolicy | string;
}

/** A whole number of up to three digits in a range. */
function numberIn(text: string, least: number, most: number): number | undefined {
  const value = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  return value >= least && value <= most ? value : undefined;
}

const MOST_NODES = 64;

/** By policy. */
export const PARAMETERS: Readonly<Record<string, PolicyParameter>> = {
  "every-nth": {
    form: "N",
    about: `one in N nodes with memory holds a copy, 1 to ${MOST_NODES}; 2 where it is left out`,
    example: "4",
    make(parameter, name) {
      const nth = numberIn(parameter, 1, MOST_NODES);
      return nth === undefined ? `is no whole number from 1 to ${MOST_NODES}` : replicationBy(everyNth(nth, name));
    },
  },
  groups: {
    form: "NODES,NODES",
    about: "nodes of a group share one copy; each node stands in one group: 0-1 is a range, 0+2 two nodes",
    example: "0-1,2-3",
    make(parameter, name) {
      const groups = groupsIn(parameter);
      if (typeof groups === "string") return groups;
      return { ...replicationBy(byGroups(groups, name)), unfit: (machine) => unfit(groups, machine) };
    },
  },
  "per-socket": {
    form: "SLIT",
    about:
      "nodes up to this SLIT distance from each other are one socket, 10 to 254; as the machine says where it is left out",
    example: "21",
    make(parameter, name) {
      const distance = numberIn(parameter, 10, 254);
      return distance === undefined ? "is no SLIT distance, 10 to 254" : replicationBy(perDistance(distance, name));
    },
  },
};

/** @returns the groups, or why there are none, a clause */
function groupsIn(text: string): readonly NodeGroup[] | string {
  const seen = new Set<NodeId>();
  const groups: NodeId[][] = [];
  for (const part of text.split(",")) {
    const group: NodeId[] = [];
    for (const range of part.split("+")) {
      const [, from, to] = /^(\d{1,2})(?:-(\d{1,2}))?$/.exec(range) ?? [];
      if (from === undefined) return `has ${JSON.stringify(range)} where a node or a range of nodes is expected`;
      const [first, last] = [Number(from), Number(to ?? from)];
      if (first > last) return `has a range that goes down, ${range}`;
      if (last >= MOST_NODES) return `names node ${last}: nodes are 0 to ${MOST_NODES - 1}`;
      for (let node = first; node <= last; node++) {
        if (seen.has(node)) return `names node ${node} twice`;
        seen.add(node);
        group.push(node);
      }
    }
    groups.push(group.sort((a, b) => a - b));
  }
  return groups;
}

/** Why groups are none of a machine. */
function unfit(groups: readonly NodeGroup[], { name, nodes }: MachineSpec): PolicyFault | undefined {
  const stranger = groups.flat().find((node) => !nodes.some(({ id }) => id === node));
  const list = nodes.map(({ id }) => id).join(", ");
  if (stranger !== undefined)
    return { reason: `${name} has no node ${stranger}`, remedy: `its nodes are ${list}: name each in one group` };
  const missing = nodes.find(({ id }) => !groups.some((group) => group.includes(id)));
  if (missing)
    return {
      reason: `node ${missing.id} of ${name} is in no group`,
      remedy: `its nodes are ${list}: name each in one group`,
    };
  const empty = groups.find((group) => nodes.every(({ id, memoryBytes }) => !group.includes(id) || memoryBytes === 0));
  if (empty)
    return {
      reason: `no node of the group ${empty.join("+")} has memory for a copy`,
      remedy: "join it with another group",
    };
  return undefined;
}
