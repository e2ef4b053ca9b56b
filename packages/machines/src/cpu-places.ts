/** Which socket, core and L3 each CPU of a machine is in: as its firmware says, or by rules that are told as such. */
import type { CpuSpec, MachineSpec } from "@kreplica/hw-x86/api";
import type { FoundNode } from "./found-node.js";

/** Where a CPU is, in the firmware's numbers. */
export interface CpuPlace {
  readonly package: number;
  /** Equal for threads of one core of one package. */
  readonly core: number;
}

/** CPUs, and the rules by which they got their places; undefined when none was needed. */
export interface PlacedCpus {
  readonly cpus: readonly CpuSpec[];
  readonly assumed: string | undefined;
}

/**
 * Nodes this near are taken for parts of one socket: Intel's sub-NUMA clusters report 11 or 12, AMD's NPS modes too.
 */
const SAME_SOCKET = 12;
/**
 * Firmware that reports more inside a socket stays below this (Xeon 6 with three clusters 15 and 17, first EPYC 16),
 * and other sockets are at 20 or more.
 */
const OTHER_SOCKET = 20;

/** Of values between nodes, row by row. */
type Matrix = readonly (readonly number[])[];

/**
 * For each node the first node of its group, where groups are nodes that a relation connects, directly or over others.
 */
function connected(count: number, near: (i: number, j: number) => boolean): number[] {
  const group = Array.from({ length: count }, (_, index) => index);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < count; j++) {
      if (i === j || group[i] === group[j] || !near(i, j)) continue;
      const [keep, drop] = [Math.min(group[i]!, group[j]!), Math.max(group[i]!, group[j]!)];
      for (const [k, each] of group.entries()) if (each === drop) group[k] = keep;
    }
  }
  return group;
}

/**
 * A node's group is its socket. Groups of nodes below distance 20 count where they are several, equally large and
 * everyone in them is that near to everyone; else those within 12, either way.
 *
 * @param fromFirmware whether the distances are a SLIT's: those made from latencies say less
 */
export function socketGroups(
  nodes: readonly Pick<FoundNode, "cpus">[],
  distance: Matrix,
  fromFirmware: boolean,
): { readonly group: readonly number[]; readonly rule: string } {
  const hasCpus = nodes.map((node) => node.cpus.length > 0);
  const near = connected(nodes.length, (i, j) => Math.min(distance[i]![j]!, distance[j]![i]!) <= SAME_SOCKET);
  const plain = { group: near, rule: `nodes within distance ${SAME_SOCKET} of each other, either way, are one` };
  if (!fromFirmware) return plain;
  const below = (i: number, j: number): boolean =>
    hasCpus[i]! && hasCpus[j]! && Math.max(distance[i]![j]!, distance[j]![i]!) < OTHER_SOCKET;
  const wide = connected(nodes.length, below);
  const members = new Map<number, number[]>();
  for (const [i, group] of wide.entries()) if (hasCpus[i]) members.set(group, [...(members.get(group) ?? []), i]);
  const groups = [...members.values()];
  const even = groups.every(
    (group) => group.length === groups[0]!.length && group.every((i) => group.every((j) => i === j || below(i, j))),
  );
  if (groups.length < 2 || !even || hasCpus.every((has, i) => !has || wide[i] === near[i])) return plain;
  return { group: wide, rule: `nodes below distance ${OTHER_SOCKET} from each other, both ways, are one` };
}

function l3InBase(base: MachineSpec): { coresPerL3: number; wholeNode: boolean } {
  const first = base.cpus[0]!;
  const cores = (of: (cpu: CpuSpec) => boolean): number => new Set(base.cpus.filter(of).map((cpu) => cpu.core)).size;
  const coresPerL3 = cores((cpu) => cpu.l3 === first.l3);
  return { coresPerL3, wholeNode: coresPerL3 >= cores((cpu) => cpu.node === first.node) };
}

/** Threads by core, in the order of the cores' first CPUs. */
function coresByRule({ cpus, cores }: FoundNode, threadsInBase: number): number[][] {
  const half = cpus.length / 2;
  const isRun = (list: readonly number[]): boolean => list.at(-1)! - list[0]! === list.length - 1;
  const siblings =
    threadsInBase === 2 &&
    half >= 2 &&
    Number.isInteger(half) &&
    isRun(cpus.slice(0, half)) &&
    isRun(cpus.slice(half)) &&
    !isRun(cpus);
  const count = cores ?? (siblings ? half : cpus.length);
  return Array.from({ length: count }, (_, core) => cpus.filter((_cpu, position) => position % count === core));
}

/** A node's CPUs by socket, and in it by core. */
function partsOf(node: FoundNode, places: ReadonlyMap<number, CpuPlace>): { socket: number; cores: number[][] }[] {
  const parts = new Map<number, Map<number, number[]>>();
  for (const cpu of node.cpus) {
    const place = places.get(cpu)!;
    const cores = parts.get(place.package) ?? new Map<number, number[]>();
    cores.set(place.core, [...(cores.get(place.core) ?? []), cpu]);
    parts.set(place.package, cores);
  }
  return [...parts].sort(([a], [b]) => a - b).map(([socket, cores]) => ({ socket, cores: [...cores.values()] }));
}

/**
 * Without the firmware's word: sockets by {@link socketGroups}; when the base has two threads a core and a node's CPUs
 * are two equally long runs (0-11,24-35), the runs are siblings in order, otherwise every CPU is a core. An L3 domain
 * holds as many cores as the base's, and never spans nodes or sockets.
 *
 * @param places of every CPU; absent: nobody said
 */
export function placeCpus(
  nodes: readonly FoundNode[],
  distance: Matrix,
  base: MachineSpec,
  fromFirmware: boolean,
  places?: ReadonlyMap<number, CpuPlace>,
): PlacedCpus {
  const groups = socketGroups(nodes, distance, fromFirmware);
  const threadsInBase = base.cpus.length / new Set(base.cpus.map((cpu) => cpu.core)).size;
  const { coresPerL3, wholeNode } = l3InBase(base);
  const parts = nodes.flatMap((node, index) => {
    if (node.cpus.length === 0) return [];
    const inNode = places
      ? partsOf(node, places)
      : [{ socket: groups.group[index]!, cores: coresByRule(node, threadsInBase) }];
    return inNode.map((part) => ({ ...part, node: node.id }));
  });
  // Numbered without gaps.
  const sockets = [...new Set(parts.map(({ socket }) => socket))].sort((a, b) => a - b);
  const cpus: CpuSpec[] = [];
  let core = 0;
  let l3 = 0;
  for (const { node, socket, cores } of parts) {
    const perL3 = wholeNode ? cores.length : coresPerL3;
    for (const [inPart, threads] of cores.entries()) {
      for (const id of threads)
        cpus.push({
          id,
          node,
          core: core + inPart,
          l3: l3 + Math.floor(inPart / perL3),
          socket: sockets.indexOf(socket),
        });
    }
    core += cores.length;
    l3 += Math.ceil(cores.length / perL3);
  }
  const threads =
    threadsInBase === 2
      ? "two equally long runs of CPUs are threads of the same cores, all else is a core each"
      : "every CPU is a core";
  const assumed = places
    ? undefined
    : [
        ...(parts.length > 1 ? [`sockets, from distances: ${groups.rule}`] : ["sockets: one node is one"]),
        ...(nodes.some((node) => node.cores !== undefined) ? [] : [`cores, from CPU numbers: ${threads}`]),
      ].join("; ");
  return { cpus: cpus.sort((a, b) => a.id - b.id), assumed };
}
