/** Ways in which the series falls short, to be laid over the corrected design: each must be caught. */
import { isLeaf, isPresent, type NodeId } from "@kreplica/hw-x86/api";
import { type KernelLayout, type ReplicaView, type TableMemory, walk } from "@kreplica/mm-core/api";
import type { PageRange, SetMemory } from "@kreplica/set-memory/api";

/**
 * D5: a call site of set_memory_rox that was not converted changes one node's tables alone, so that generated code faults on all others.
 * @param over does everything else
 */
export function roxOnOneNode(over: SetMemory, entries: TableMemory, view: ReplicaView, layout: KernelLayout, node: NodeId): SetMemory {
  const changed: SetMemory = Object.create(over) as SetMemory;
  changed.readOnlyExecutable = ({ start, pages }: PageRange): void => {
    for (let page = 0; page < pages; page++) {
      const { table, index, lo, hi, level } = walk(entries.memory, view.kernelRoot(node), layout.levels, start + BigInt(page) * 4096n);
      if (isPresent(lo) && isLeaf(lo, level)) entries.write(table, index, (lo & ~2) >>> 0, (hi & 0x7fff_ffff) >>> 0);
    }
  };
  return changed;
}

