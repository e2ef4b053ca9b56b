/** Who runs what where: the recorded guest's CPUs and nodes on the machine's. */
import type { CpuId, MachineSpec, NodeId } from "@kreplica/hw-x86/api";
import { guestNodeOfCpu, type RecordedGuest, shippedGuest } from "@kreplica/trace";

/** CPU of the test, node of the image, node of the test's data. */
export interface Where {
  readonly cpu: CpuId;
  readonly masterNode: NodeId;
  readonly dataNode: NodeId;
  /** CPU that made the recorded process, where another runs it: it has moved. */
  readonly madeOn?: CpuId;
}

const nodeOf = (spec: MachineSpec, cpu: CpuId): NodeId => spec.cpus.find((each) => each.id === cpu)!.node;

/** Index in `spec.nodes`. */
export const indexOf = (spec: MachineSpec, node: NodeId): number => spec.nodes.findIndex((each) => each.id === node);

/** The node with memory that is nearest to a node, itself if it has some; the lower id of two alike. By latency. */
export function nearestMemory(spec: MachineSpec, node: NodeId): NodeId {
  const row = spec.latencyNs[indexOf(spec, node)]!;
  return spec.nodes
    .map((each, index) => ({ ...each, latency: row[index]! }))
    .filter((each) => each.memoryBytes > 0)
    .reduce((a, b) => (b.id === node || (a.id !== node && b.latency < a.latency) ? b : a)).id;
}

/** Where the test's data lies unless told otherwise: as recorded, beside the CPU. */
export const defaultDataNode = (spec: MachineSpec, cpu: CpuId): NodeId => nearestMemory(spec, nodeOf(spec, cpu));

/** How many times as far as its own memory that of another node is from a CPU. */
export function farOverNear(spec: MachineSpec, cpu: CpuId, far: NodeId): number {
  const own = indexOf(spec, nodeOf(spec, cpu));
  return spec.latencyNs[own]![indexOf(spec, far)]! / spec.latencyNs[own]![own]!;
}

/**
 * CPU for each virtual CPU of a recording but the measured one: on the node of the chosen CPU where the guest had both
 * on one node, else on the node that holds the image; a core of its own where there is one.
 */
export function otherCpus(
  spec: MachineSpec,
  { cpu, masterNode }: Where,
  measured: number,
  guest: RecordedGuest = shippedGuest,
): (vcpu: number) => CpuId {
  const core = (id: CpuId): number => spec.cpus.find((each) => each.id === id)!.core;
  const on = (node: NodeId): CpuId[] =>
    spec.cpus
      .filter((each) => each.node === node)
      .map((each) => each.id)
      .sort((a, b) => a - b);
  const apart = (ids: readonly CpuId[]): CpuId[] => {
    const others = ids.filter((id) => core(id) !== core(cpu));
    return others.length > 0 ? others : ids.length > 0 ? [...ids] : [cpu];
  };
  const beside = apart(on(nodeOf(spec, cpu)));
  const away = apart(on(masterNode));
  return (vcpu) => {
    const pool = guestNodeOfCpu(guest, vcpu) === guestNodeOfCpu(guest, measured) ? beside : away;
    return pool[vcpu % pool.length]!;
  };
}

/** How many CPUs a node has. */
export const cpusOf = (spec: MachineSpec, node: NodeId): number => spec.cpus.filter((cpu) => cpu.node === node).length;

/**
 * So many CPUs of every node: each on a core of its own while there are any, lowest first; a node that has fewer gives
 * all it has. The chosen CPU is its node's first.
 */
export function cpusAtOnce(spec: MachineSpec, { cpu }: Where, count: number): CpuId[] {
  return spec.nodes.flatMap(({ id }) => {
    const threads = new Map<number, number>();
    return spec.cpus
      .filter(({ node }) => node === id)
      .sort((a, b) => Number(b.id === cpu) - Number(a.id === cpu) || a.id - b.id)
      .map((each) => {
        const thread = threads.get(each.core) ?? 0;
        threads.set(each.core, thread + 1);
        return { id: each.id, thread };
      })
      .sort((a, b) => a.thread - b.thread)
      .slice(0, count)
      .map((each) => each.id);
  });
}
