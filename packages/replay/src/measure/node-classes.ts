/**
 * Which nodes of a machine are alike to the model, so that a run on one of them counts what a run on each would; and
 * its counts, told of another. What is counted does not depend on how long memory takes, so that every node's own
 * latencies price the counts that it shares.
 */
import { CounterLayout, KINDS, type MachineSpec, type NodeId, REGIONS, Source } from "@kreplica/hw-x86";
import type { RecordedGuest } from "@kreplica/trace";
import { hasRoom } from "../replay/recorded-frames.js";
import { defaultDataNode, indexOf, type Where } from "./placement.js";
import type { NodeStanding } from "./standing.js";

/** Node of a test's data, where a CPU of the node runs it. */
export type DataOf = (node: NodeStanding) => NodeId;

/**
 * Where the data of a test lies that CPUs of other nodes run: beside them, or where it was said to. A small node may be
 * too small for all that the guest had: then it lies where it does for the CPU looked at.
 */
export const dataBeside =
  (spec: MachineSpec, where: Where, dataNode: NodeId | undefined, guest?: RecordedGuest): DataOf =>
  ({ cpu }) => {
    const beside = dataNode ?? defaultDataNode(spec, cpu);
    return hasRoom(spec, [where.masterNode, beside], guest) ? beside : where.dataNode;
  };

/** Nodes that are alike. */
export interface NodeClass {
  /** The node that is measured. */
  readonly measured: NodeStanding;
  /** All of them, that one included, by number. */
  readonly nodes: readonly NodeStanding[];
}

const socketOf = (spec: MachineSpec, node: NodeId): number | undefined =>
  spec.cpus.find((cpu) => cpu.node === node)?.socket;

/** How a node stands to another: itself, the image's, in its socket, or beyond. */
function relation(spec: MachineSpec, from: NodeId, to: NodeId, master: NodeId): string {
  if (from === to) return "itself";
  if (to === master) return "the image's";
  return socketOf(spec, from) === socketOf(spec, to) ? "same socket" : "other socket";
}

/** What decides where a CPU of the node finds lines: places of text and data, cores and threads that share caches. */
function likeness(spec: MachineSpec, standing: NodeStanding, master: NodeId, dataOf: DataOf): string {
  const { node, relation: toImage, copyOn, cpu } = standing;
  const own = spec.cpus.filter((each) => each.node === node);
  const { l3, core } = spec.cpus.find((each) => each.id === cpu)!;
  return JSON.stringify([
    toImage,
    relation(spec, node, copyOn, master),
    relation(spec, node, dataOf(standing), master),
    own.filter((each) => each.core === core).length,
    new Set(spec.cpus.filter((each) => each.l3 === l3).map((each) => each.core)).size,
    new Set(own.map((each) => each.core)).size,
  ]);
}

/**
 * The nodes with CPUs, each in one class. Alike are those with the same relation to the image's node, to the node of
 * their copy and to that of their data, and with as many cores, threads and sharers of an L3.
 *
 * @param own the node looked at: measured for its class; of others the first is
 */
export function nodeClasses(
  spec: MachineSpec,
  master: NodeId,
  own: NodeStanding,
  nodes: readonly NodeStanding[],
  dataOf: DataOf,
): NodeClass[] {
  const classes = new Map<string, NodeStanding[]>();
  for (const each of nodes) {
    const key = likeness(spec, each, master, dataOf);
    classes.set(key, [...(classes.get(key) ?? []), each]);
  }
  return [...classes.values()].map((alike) => ({
    measured: alike.find(({ node }) => node === own.node) ?? alike[0]!,
    nodes: alike,
  }));
}

/**
 * Counters of a CPU of one node as those of a CPU of another that is alike: what came from the one node's memory came
 * from the other's, and so for the nodes of their copies, of their data and of their sockets.
 */
export function toldOf(
  counters: Float64Array,
  spec: MachineSpec,
  [from, to]: readonly [NodeStanding, NodeStanding],
  master: NodeId,
  dataOf: DataOf,
): Float64Array {
  if (from.node === to.node) return counters;
  const layout = new CounterLayout(spec.nodes.length);
  const homes = exchanged(spec, from, to, master, dataOf);
  const told = counters.slice();
  const move = (first: number): void => {
    for (const [home, other] of homes.entries()) told[first + other] = counters[first + home]!;
  };
  for (let region = 0; region < REGIONS; region++)
    for (let kind = 0; kind < KINDS; kind++) {
      const row = layout.row(region, kind);
      for (const first of [Source.Memory, layout.cleanSameSocket, layout.cleanOtherSocket]) move(row + first);
    }
  move(layout.writeBacks(0));
  return told;
}

/** By index of a node in the specification: index of the node that stands for it. Every node stands for one. */
function exchanged(spec: MachineSpec, from: NodeStanding, to: NodeStanding, master: NodeId, dataOf: DataOf): number[] {
  const homes = spec.nodes.map((_, index) => index);
  const fixed = new Set([indexOf(spec, master)]);
  const exchange = (a: NodeId, b: NodeId): void => {
    const [one, other] = [indexOf(spec, a), indexOf(spec, b)];
    if (fixed.has(one) || fixed.has(other)) return;
    [homes[one], homes[other]] = [other, one];
    fixed.add(one).add(other);
  };
  exchange(from.node, to.node);
  exchange(from.copyOn, to.copyOn);
  exchange(dataOf(from), dataOf(to));
  const [here, there] = [socketOf(spec, from.node), socketOf(spec, to.node)];
  if (here !== there) {
    const rest = (socket: number | undefined): NodeId[] =>
      spec.nodes.map(({ id }) => id).filter((id) => socketOf(spec, id) === socket && !fixed.has(indexOf(spec, id)));
    const others = rest(there);
    rest(here).forEach((id, nth) => {
      if (others[nth] !== undefined) exchange(id, others[nth]);
    });
  }
  return homes;
}
