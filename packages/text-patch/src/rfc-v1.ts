/** Ways in which the series falls short, to be laid over the corrected design: each must be caught. */
import { isLeaf, isPresent, type Machine, type NodeId } from "@kreplica/hw-x86/api";
import { type CpuState, type KernelLayout, type ReplicaView, type TableMemory, walk } from "@kreplica/mm-core/api";
import type { PageRange, SetMemory } from "@kreplica/set-memory/api";
import type { TextPoke } from "./poke/poke-api.js";

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


/**
 * N1: in-place optimisation of no-ops, which the series does not convert: what is written early once there are copies reaches the copy of
 * the CPU that writes, and no other.
 * @param over does everything else
 */
export function earlyInOneCopy<T extends TextPoke>(over: T, machine: Machine, cpus: CpuState, view: ReplicaView): T {
  const changed: T = Object.create(over) as T;
  changed.early = (address: bigint, bytes: Uint8Array): void => {
    if (view.holders.length < 2) return over.early(address, bytes);
    const node = machine.nodeOfCpu(cpus.current);
    bytes.forEach((byte, i) => {
      const at = address + BigInt(i);
      const frame = view.replicaFrame(at, node);
      if (frame !== undefined) machine.memory.writeBytes((BigInt(frame) << 12n) + (at & 4095n), Uint8Array.of(byte));
    });
  };
  return changed;
}
