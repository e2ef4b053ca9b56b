/**
 * Where several CPUs that run one recording, each as a process of its own, have what is theirs alone: windows of memory
 * for all of the guest but the image's node, a part of vmalloc space (stacks), a CPU's entry area. The image and what
 * lay on its node in the recording, the kernel's own since boot, they share.
 */
import { type CpuId, type Frame, type MachineSpec, type NodeId, SparseMemory } from "@kreplica/hw-x86";
import { guestNodeOfPage, type RecordedGuest } from "@kreplica/trace";
import { type GuestWindow, guestWindows } from "./guest-windows.js";

/** Of one CPU. */
export interface RunnerPlaces {
  readonly cpu: CpuId;
  /** For each of the guest's nodes. */
  readonly windows: readonly GuestWindow[];
  /** By how much its vmalloc addresses lie behind the recorded ones, bytes. */
  readonly vmallocBytes: bigint;
  /** Of the CPU among all of the machine, by id: its entry area is the so manieth. */
  readonly position: number;
}

/** What a recording's stacks lie in, and more: 1 GiB. */
const VMALLOC_STEP = 1n << 30n;
/**
 * Frames between windows, whole pages of descriptors: windows as large as a power of two, one behind the other, would
 * have all runners' lines in the same sets of a cache.
 */
const SKEW = 64 * 37;

/**
 * Places for CPUs, in the order in which they are given, which is that of their windows on each node.
 *
 * @param nodes of the image and of the first runner's data, as the kernel is booted with
 * @param runners CPUs, and where the data of each lies; the first one's windows are the kernel's
 * @param beyond frames by which the image is larger than the recorded one
 * @returns the node that is too small, where one is: windows take at most half of it
 */
export function runnerPlaces(
  spec: MachineSpec,
  guest: RecordedGuest,
  nodes: readonly [NodeId, NodeId],
  runners: readonly { readonly cpu: CpuId; readonly dataNode: NodeId }[],
  beyond = 0,
): readonly RunnerPlaces[] | NodeId {
  const { ranges } = new SparseMemory(spec.nodes);
  const base = guestWindows(ranges, guest, nodes, beyond);
  const holdsImage = guest.nodes.length > 1 ? guestNodeOfPage(guest, guest.image.firstPage) : -1;
  const free = new Map<NodeId, Frame>();
  for (const [n, { node, first }] of base.entries())
    // Behind a window there is as much again, whose end has the tails.
    free.set(node, Math.max(free.get(node) ?? 0, first + 2 * guest.nodes[n]!.pages + beyond));
  const byId = spec.cpus.map(({ id }) => id).sort((a, b) => a - b);
  const found: RunnerPlaces[] = [];
  for (const [nth, { cpu, dataNode }] of runners.entries()) {
    const windows: GuestWindow[] = [];
    for (const [n, { pages }] of guest.nodes.entries()) {
      if (nth === 0 || n === holdsImage) {
        windows.push(base[n]!);
        continue;
      }
      const range = ranges
        .filter(({ node }) => node === dataNode)
        .reduce((most, each) => (each.frames > most.frames ? each : most));
      // The lowest memory of a node is the kernel's.
      const first = Math.max(free.get(dataNode) ?? 0, range.first + guest.nodes[0]!.pages) + SKEW;
      if (first + pages > range.first + range.frames / 2) return dataNode;
      windows.push({ node: dataNode, first, frames: pages });
      free.set(dataNode, first + pages);
    }
    found.push({ cpu, windows, vmallocBytes: BigInt(nth) * VMALLOC_STEP, position: byId.indexOf(cpu) });
  }
  return found;
}
