/**
 * A machine as options of qemu-system-x86_64: nodes, CPUs, distances, latencies and bandwidths. QEMU numbers nodes from
 * 0 without gaps and CPUs by socket, core and thread, and each of its sockets is like the others; what differs from the
 * machine is said.
 *
 * @source QEMU, "qemu-system-x86_64 options": -smp, -numa
 */
import type { CpuSpec, MachineSpec } from "@kreplica/hw-x86/api";
import { groupBy } from "./group-by.js";

/** The options, and what of the machine they cannot say. */
export interface QemuOptions {
  /** Option and value by turns, no value with blanks. */
  readonly words: readonly string[];
  readonly remarks: readonly string[];
}

const MIB = 2 ** 20;

/** A machine's nodes, CPUs, distances, latencies and caches as options of QEMU, and what it cannot be told. */
export function qemuOptions(machine: MachineSpec): QemuOptions {
  const remarks: string[] = [];
  const { nodes } = machine;
  const place = new Map(nodes.map(({ id }, i) => [id, i]));
  if (nodes.some(({ id }, i) => id !== i))
    remarks.push(`nodes ${nodes.map(({ id }) => id).join(", ")} become 0 to ${nodes.length - 1}: QEMU has no gaps`);
  // By node within a socket, so that neighbours share a core's threads and a node's cores.
  const inOrder = [...machine.cpus].sort(
    (a, b) => a.socket - b.socket || place.get(a.node)! - place.get(b.node)! || a.core - b.core || a.id - b.id,
  );
  const sockets = groupBy(inOrder, ({ socket }) => socket).map((cpus) => groupBy(cpus, ({ core }) => core));
  const cores = Math.max(...sockets.map((each) => each.length));
  const threads = Math.max(...sockets.flatMap((each) => each.map(({ length }) => length)));
  const regular = sockets.every((each) => each.length === cores && each.every(({ length }) => length === threads));
  const words = ["-machine", "q35,hmat=on"];
  const all = regular ? sockets.length * cores * threads : machine.cpus.length;
  if (regular) words.push("-smp", `${all},sockets=${sockets.length},cores=${cores},threads=${threads}`);
  else {
    words.push("-smp", `${all},sockets=${all},cores=1,threads=1`);
    remarks.push("sockets and cores are not all alike: every CPU becomes a socket of its own");
  }
  if (all > 255)
    remarks.push("more than 255 CPUs: add -device intel-iommu,intremap=on,eim=on and -accel kvm,kernel-irqchip=split");
  words.push("-m", `${Math.round(nodes.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0) / MIB)}M`);
  const withCpus = nodes.map(({ id }) => machine.cpus.some(({ node }) => node === id));
  for (const [i, { memoryBytes }] of nodes.entries()) {
    if (memoryBytes > 0) words.push("-object", `memory-backend-ram,id=m${i},size=${memoryBytes / MIB}M`);
    words.push(
      "-numa",
      `node,nodeid=${i}${memoryBytes > 0 ? `,memdev=m${i}` : ""},initiator=${initiatorOf(machine, i, withCpus)}`,
    );
  }
  for (const [s, socket] of sockets.entries())
    for (const [c, core] of socket.entries())
      for (const [t, cpu] of core.entries())
        words.push("-numa", cpuOption(cpu, place, regular ? [s, c, t] : undefined, inOrder));
  for (const [i, row] of machine.distance.entries())
    for (const [j, value] of row.entries()) if (i !== j) words.push("-numa", `dist,src=${i},dst=${j},val=${value}`);
  for (const kind of ["latency", "bandwidth"] as const)
    for (const [i] of nodes.entries())
      for (const [j, { memoryBytes }] of nodes.entries()) {
        if (!withCpus[i] || memoryBytes === 0) continue;
        const value =
          kind === "latency"
            ? `latency=${Math.round(machine.latencyNs[i]![j]!)}`
            : `bandwidth=${Math.round(machine.bandwidthMBs[i]![j]!)}M`;
        words.push("-numa", `hmat-lb,initiator=${i},target=${j},hierarchy=memory,data-type=access-${kind},${value}`);
      }
  const numbers = inOrder.map(({ id }) => id);
  if (numbers.some((id, i) => id !== i))
    remarks.push("the guest numbers CPUs by socket, core and thread, and not as the machine does");
  return { words, remarks };
}

/** A node's own CPUs, or those nearest to it by latency. */
function initiatorOf({ latencyNs }: MachineSpec, node: number, withCpus: readonly boolean[]): number {
  if (withCpus[node]) return node;
  return withCpus.reduce(
    (best, has, i) => (has && (best < 0 || latencyNs[i]![node]! < latencyNs[best]![node]!) ? i : best),
    -1,
  );
}

function cpuOption(
  cpu: CpuSpec,
  place: ReadonlyMap<number, number>,
  at: readonly [socket: number, core: number, thread: number] | undefined,
  all: readonly CpuSpec[],
): string {
  const [socket, core, thread] = at ?? [all.indexOf(cpu), 0, 0];
  return `cpu,node-id=${place.get(cpu.node)!},socket-id=${socket},core-id=${core},thread-id=${thread}`;
}
