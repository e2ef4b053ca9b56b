/** Builds a machine from what a tool printed about nodes and a base preset for all it did not print. */
import type { CpuSpec, MachineSpec } from "@kreplica/hw-x86/api";
import { distanceScale } from "./distance-scale.js";

/** What a tool said about one node. */
export interface FoundNode {
  readonly id: number;
  /** Ascending; empty for a memory-only node. */
  readonly cpus: readonly number[];
  /** Where it is known: the first so many CPUs are cores, the others second threads of theirs in order. */
  readonly cores?: number;
  /** As printed; rounded down to 2 MiB here. */
  readonly memoryBytes: number;
}

/** What is wrong with a distance of 255 between a node with CPUs and one with memory. */
export const cutOff = (from: number, to: number): { readonly reason: string; readonly remedy: string } =>
  ({ reason: `node ${to} has memory that the CPUs of node ${from} cannot reach (255)`, remedy: "leave the node out, or write the distance its memory really has" });

/** The first CPU that two nodes list: the node where it is again, and the one before. */
export function sharedCpu<N extends Pick<FoundNode, "id" | "cpus">>(nodes: readonly N[]): { readonly cpu: number; readonly node: N; readonly before: number } | undefined {
  const home = new Map<number, number>();
  for (const node of nodes) {
    for (const cpu of node.cpus) {
      const before = home.get(cpu);
      if (before !== undefined) return { cpu, node, before };
      home.set(cpu, node.id);
    }
  }
  return undefined;
}

/** What a tool said about a machine. Matrices follow the order of `nodes`; row: node of the CPU, column: node of the memory. */
export interface FoundMachine {
  readonly name: string;
  readonly description: string;
  readonly nodes: readonly FoundNode[];
  readonly distance: readonly (readonly number[])[];
  /** Measured figures; undefined where there is none. */
  readonly latencyNs?: readonly (readonly (number | undefined)[])[];
  readonly bandwidthMBs?: readonly (readonly (number | undefined)[])[];
  /** Where the nodes, and where the measured figures come from. */
  readonly sources: readonly string[];
  /** Nodes and CPUs were printed, and none of the figures is an estimate. */
  readonly certain: boolean;
}

/** Nodes this near are taken for parts of one socket: Intel's sub-NUMA clusters report 11, AMD's NPS modes 11 or 12. */
const SAME_SOCKET = 12;

/**
 * Sockets, cores and L3 domains are not in the tools' output. Rules: nodes at distance 12 or less, either way, share a socket;
 * when the base has two threads a core and a node's CPUs are two equally long runs (0-11,24-35), the runs are siblings in order,
 * otherwise every CPU is a core; an L3 domain holds as many cores as the base's, and never spans nodes.
 */
export function cpusOf(nodes: readonly FoundNode[], distance: readonly (readonly number[])[], base: MachineSpec): CpuSpec[] {
  const socketOf = nodes.map((_, index) => index);
  for (const [i, row] of distance.entries()) {
    for (const [j, there] of row.entries()) {
      if (Math.min(there, distance[j]![i]!) > SAME_SOCKET || socketOf[i] === socketOf[j]) continue;
      const [keep, drop] = [Math.min(socketOf[i]!, socketOf[j]!), Math.max(socketOf[i]!, socketOf[j]!)];
      for (const [k, socket] of socketOf.entries()) if (socket === drop) socketOf[k] = keep;
    }
  }
  const withCpus = [...new Set(nodes.flatMap((node, index) => (node.cpus.length > 0 ? [socketOf[index]!] : [])))];
  const threadsInBase = base.cpus.length / new Set(base.cpus.map((cpu) => cpu.core)).size;
  const { coresPerL3, wholeNode } = l3InBase(base);
  const cpus: CpuSpec[] = [];
  let core = 0;
  let l3 = 0;
  for (const [index, node] of nodes.entries()) {
    if (node.cpus.length === 0) continue;
    const half = node.cpus.length / 2;
    const isRun = (list: readonly number[]): boolean => list.at(-1)! - list[0]! === list.length - 1;
    const siblings = threadsInBase === 2 && half >= 2 && Number.isInteger(half) && isRun(node.cpus.slice(0, half)) && isRun(node.cpus.slice(half)) && !isRun(node.cpus);
    const cores = node.cores ?? (siblings ? half : node.cpus.length);
    const perL3 = wholeNode ? cores : coresPerL3;
    for (const [position, id] of node.cpus.entries()) {
      const inNode = position % cores;
      cpus.push({ id, node: node.id, core: core + inNode, l3: l3 + Math.floor(inNode / perL3), socket: withCpus.indexOf(socketOf[index]!) });
    }
    core += cores;
    l3 += Math.ceil(cores / perL3);
  }
  return cpus.sort((a, b) => a.id - b.id);
}

function l3InBase(base: MachineSpec): { coresPerL3: number; wholeNode: boolean } {
  const first = base.cpus[0]!;
  const cores = (of: (cpu: CpuSpec) => boolean): number => new Set(base.cpus.filter(of).map((cpu) => cpu.core)).size;
  const coresPerL3 = cores((cpu) => cpu.l3 === first.l3);
  return { coresPerL3, wholeNode: coresPerL3 >= cores((cpu) => cpu.node === first.node) };
}

/** Where one direction is unreachable (a node without CPUs), the other's distance; where both are, the farthest a table can say. */
const reachable = (there: number, back: number): number => (there !== 255 ? there : Math.min(back, 254));

/** Measured figures stand; where one is missing the other direction's stands, and where both are, the distance is scaled. */
export function machineOnFound(found: FoundMachine, base: MachineSpec): MachineSpec {
  const scale = distanceScale(base);
  const filled = (measured: FoundMachine["latencyNs"], scaled: (distance: number) => number): number[][] =>
    found.distance.map((row, i) => row.map((distance, j) => measured?.[i]?.[j] ?? measured?.[j]?.[i] ?? scaled(reachable(distance, found.distance[j]![i]!))));
  const isCpuRow = found.nodes.map((node) => node.cpus.length > 0);
  const complete = (measured: FoundMachine["latencyNs"]): boolean =>
    measured !== undefined && measured.every((row, i) => !isCpuRow[i] || row.every((value) => value !== undefined));
  const scaled = [...(complete(found.latencyNs) ? [] : ["latency"]), ...(complete(found.bandwidthMBs) ? [] : ["bandwidth"])];
  const scaledSource = scaled.length === 0 ? [] : [`${scaled.join(" and ")} where not measured: distances scaled, ${scale.rule}`];
  return {
    ...base,
    name: found.name,
    description: found.description,
    nodes: found.nodes.map(({ id, memoryBytes }) => ({ id, memoryBytes: Math.floor(memoryBytes / 2 ** 21) * 2 ** 21 })),
    cpus: cpusOf(found.nodes, found.distance, base),
    latencyNs: filled(found.latencyNs, scale.latencyNs),
    bandwidthMBs: filled(found.bandwidthMBs, scale.bandwidthMBs),
    distance: found.distance,
    interconnectSource: [...found.sources, ...scaledSource].join("; "),
    provisional: base.provisional || scaled.length > 0 || !found.certain,
    sources: [...found.sources, ...scaledSource, `everything else: ${base.name}, whose sources follow`, ...base.sources],
  };
}
