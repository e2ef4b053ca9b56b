/**
 * Two policies of one's own: copies only where there is memory to spare, and copies where somebody says. Which nodes
 * hold copies is a function of the machine; how copies are made stays kreplica's.
 */
import type { Machine, NodeId } from "@kreplica/hw-x86/api";
import type { Policy } from "@kreplica/mm-core/api";
import { replicationBy } from "@kreplica/numa-replication";

const FRAMES_PER_GIBIBYTE = 2 ** 18;
const framesOf = ({ memory }: Machine, node: NodeId): number =>
  memory.ranges.filter((range) => range.node === node).reduce((sum, { frames }) => sum + frames, 0);

/** @param gibibytes a node must have more than this; the node of the image has a copy in any case */
export const onlyAbove = (gibibytes: number): Policy =>
  replicationBy({
    name: `above-${gibibytes}-gib`,
    summary: `a copy of text and rodata on nodes with more than ${gibibytes} GiB`,
    copies: { text: true, rodata: true },
    chooseHolders: (machine) =>
      machine.nodes.filter((node) => framesOf(machine, node) > gibibytes * FRAMES_PER_GIBIBYTE),
  });

/** @param nodes in any order; those that the machine does not have, or that have no memory, hold nothing */
export const onlyOn = (...nodes: readonly NodeId[]): Policy =>
  replicationBy({
    name: `on-${nodes.join("-")}`,
    summary: `a copy of text and rodata on nodes ${nodes.join(", ")}`,
    copies: { text: true, rodata: true },
    chooseHolders: () => nodes,
  });
