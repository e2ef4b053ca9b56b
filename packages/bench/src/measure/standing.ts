/** Whom the one CPU of a comparison stands for: how far its node is from the image's, where its copy is, and which nodes it says nothing about. */
import type { CpuId, MachineSpec, NodeId } from "@kreplica/hw-x86/api";
import type { ReplicaView } from "@kreplica/mm-core";
import { indexOf, type Where } from "./placement.js";

/** Of a node to the image's. */
export type Relation = "same node" | "same socket" | "other socket";

/** A node with CPUs, as seen from the image's. */
export interface NodeStanding {
  readonly node: NodeId;
  readonly relation: Relation;
  /** From its CPUs to the image's memory, and to that of the copy they use, ns. */
  readonly imageNs: number;
  readonly copyNs: number;
  /** Node whose copy its CPUs use: itself where it holds one. */
  readonly copyOn: NodeId;
  /** Its first CPU: `--cpu` with it shows the node. */
  readonly cpu: CpuId;
}

export interface Standing {
  /** The node of the CPU that runs the tests. */
  readonly own: NodeStanding;
  /** All nodes with CPUs, that one included, by number. */
  readonly nodes: readonly NodeStanding[];
}

/** @param view of the booted kernel that has the copies */
export function standingOf(spec: MachineSpec, { cpu, masterNode }: Where, view: Pick<ReplicaView, "nearest">): Standing {
  const socketsOf = (node: NodeId): Set<number> => new Set(spec.cpus.filter((each) => each.node === node).map((each) => each.socket));
  const imageSockets = socketsOf(masterNode);
  const nodes = spec.nodes.flatMap(({ id: node }): NodeStanding[] => {
    const cpus = spec.cpus.filter((each) => each.node === node).map((each) => each.id);
    if (cpus.length === 0) return [];
    const latency = spec.latencyNs[indexOf(spec, node)]!;
    const copyOn = view.nearest(node);
    const relation = node === masterNode ? "same node" : [...socketsOf(node)].some((socket) => imageSockets.has(socket)) ? "same socket" : "other socket";
    return [{ node, relation, imageNs: latency[indexOf(spec, masterNode)]!, copyNs: latency[indexOf(spec, copyOn)]!, copyOn, cpu: Math.min(...cpus) }];
  });
  const own = nodes.find(({ node }) => node === spec.cpus.find((each) => each.id === cpu)!.node)!;
  return { own, nodes };
}
