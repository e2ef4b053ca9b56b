/**
 * Whom the one CPU of a comparison stands for: how far its node is from the image's, where its copy is, and which nodes
 * it says nothing about.
 */
import type { CpuId, MachineSpec, NodeId } from "@kreplica/hw-x86/api";
import type { ReplicaView } from "@kreplica/mm-core";
import { indexOf, type Where } from "./placement.js";

/** Of a node to the image's. */
export type Relation = "same node" | "same socket" | "other socket";

/** A node with CPUs, as seen from the image's. */
export interface NodePlace {
  readonly node: NodeId;
  readonly relation: Relation;
  /** From its CPUs to the image's memory, ns. */
  readonly imageNs: number;
  /** Its first CPU: `--cpu` with it shows the node. */
  readonly cpu: CpuId;
}

/** And where its CPUs have their text from. */
export interface NodeStanding extends NodePlace {
  /** From its CPUs to the memory of the copy they use, ns. */
  readonly copyNs: number;
  /** Node whose copy its CPUs use: itself where it holds one. */
  readonly copyOn: NodeId;
}

/** Whom the CPU of the tests stands for, and where all nodes stand to the image. */
export interface Standing {
  /** The node of the CPU that runs the tests. */
  readonly own: NodeStanding;
  /** All nodes with CPUs, that one included, by number. */
  readonly nodes: readonly NodeStanding[];
}

/** All nodes with CPUs, by number. */
export function placesOf(spec: MachineSpec, masterNode: NodeId): NodePlace[] {
  const socketsOf = (node: NodeId): Set<number> =>
    new Set(spec.cpus.filter((each) => each.node === node).map((each) => each.socket));
  const imageSockets = socketsOf(masterNode);
  return spec.nodes.flatMap(({ id: node }): NodePlace[] => {
    const cpus = spec.cpus.filter((each) => each.node === node).map((each) => each.id);
    if (cpus.length === 0) return [];
    const relation =
      node === masterNode
        ? "same node"
        : [...socketsOf(node)].some((socket) => imageSockets.has(socket))
          ? "same socket"
          : "other socket";
    return [
      {
        node,
        relation,
        imageNs: spec.latencyNs[indexOf(spec, node)]![indexOf(spec, masterNode)]!,
        cpu: Math.min(...cpus),
      },
    ];
  });
}

/** @param view of the booted kernel that has the copies */
export function standingOf(
  spec: MachineSpec,
  { cpu, masterNode }: Where,
  view: Pick<ReplicaView, "nearest" | "copyHolders">,
): Standing {
  const nodes = placesOf(spec, masterNode).map((place): NodeStanding => {
    const holder = view.nearest(place.node);
    const copyOn = view.copyHolders?.includes(holder) === false ? masterNode : holder;
    return { ...place, copyNs: spec.latencyNs[indexOf(spec, place.node)]![indexOf(spec, copyOn)]!, copyOn };
  });
  const own = nodes.find(({ node }) => node === spec.cpus.find((each) => each.id === cpu)!.node)!;
  return { own, nodes };
}
