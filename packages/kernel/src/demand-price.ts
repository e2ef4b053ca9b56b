/** What a copy of text costs a node, and what far text costs it, in cycles: by the same account as all else. */
import { CounterLayout, eventPrices, Kind, KINDS, type MachineSpec, type NodeId, Source } from "@kreplica/hw-x86";

const LINES_A_PAGE = 64;

const indexOf = ({ nodes }: MachineSpec, node: NodeId): number => nodes.findIndex(({ id }) => id === node);

/** What events cost a node's CPUs, by kind and home of the memory. */
function pricesOn(spec: MachineSpec, node: NodeId) {
  const prices = eventPrices(spec, indexOf(spec, node));
  const { sources } = new CounterLayout(spec.nodes.length);
  return {
    memory: (kind: Kind, home: NodeId): number => prices[kind * sources + Source.Memory + indexOf(spec, home)]!,
    interrupt: prices[KINDS * sources + 2]!,
  };
}

/**
 * Cycles of a CPU that reads every line of some pages from the master's memory, stores it to its own node's, and tells
 * all others to flush. Its instructions are left out: wide moves make them few.
 */
export function copyPrice(spec: MachineSpec, node: NodeId, master: NodeId, pages: number): number {
  const { memory, interrupt } = pricesOn(spec, node);
  const line = memory(Kind.Load, master) + memory(Kind.Store, node);
  return pages * LINES_A_PAGE * line + (spec.cpus.length - 1) * interrupt;
}

/**
 * Cycles that a line of text from the master's memory costs a CPU more than one of the copy it would use; at least 0.
 * @param node of the CPU @param holder of that copy
 */
export function farLinePrice(spec: MachineSpec, node: NodeId, master: NodeId, holder: NodeId): number {
  const { memory } = pricesOn(spec, node);
  return Math.max(0, memory(Kind.Fetch, master) - memory(Kind.Fetch, holder));
}
