/**
 * Reads a copy of /sys/devices/system/node (`cp -r`; with `-L`, which follows links in circles, the copying never
 * ends):
 *
 *     nodeN/cpulist      0-11,24-35           or nodeN/cpumap: 00000f00,00f00fff
 *     nodeN/distance     10 21                to the nodes in ascending order
 *     nodeN/meminfo      Node 0 MemTotal:       65843300 kB
 *     nodeN/accessC/initiators/read_latency, read_bandwidth     nanoseconds, MB/s, from the nodes that are entries there
 *
 * Class 1 of access is from the nearest CPUs; class 0 from whatever is nearest, which may be a device without CPUs
 * (generic initiator).
 *
 * @source Linux Documentation/ABI/stable/sysfs-devices-node; admin-guide/mm/numaperf
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { InputError, parseCpuList, parseCpuMask, quoted } from "@kreplica/inputs";
import type { CpuPlace } from "../cpu-places.js";
import { distanceScale } from "../distance-scale.js";
import { cutOff, type FoundNode, sharedCpus } from "../found-node.js";
import { machineOnFound } from "../on-base.js";
import { SysfsFiles } from "./files.js";
import type { FolderTree } from "./folder-tree.js";
import { readTopology } from "./topology.js";

/** The directory itself, or the one inside it that holds node0, node1 ... */
function nodesDirectory(tree: FolderTree): string {
  const found = nodesBelow(tree);
  if (found === undefined)
    throw new InputError({
      file: tree.at(""),
      reason: "no node0, node1 ... in this directory",
      remedy: "name a copy of /sys/devices/system/node, or one that holds it",
    });
  return found;
}

/**
 * Where in a folder the nodes' directory is; undefined where it holds none.
 * @throws InputError for one that cannot be read
 */
export const nodesBelow = (tree: FolderTree): string | undefined =>
  ["", "node", "system/node", "devices/system/node", "sys/devices/system/node"].find((each) =>
    tree.entries(each).some((entry) => /^node\d+$/.test(entry)),
  );

/** What a class of initiators sees of a node's memory. */
export interface Access {
  readonly kind: 0 | 1;
  readonly from: readonly number[];
  readonly latencyNs?: number;
  readonly bandwidthMBs?: number;
}

/** A node as its files tell it. */
export interface NodeFiles extends FoundNode {
  readonly distance: readonly number[];
  /** CPUs' own class first. */
  readonly access: readonly Access[];
}

const listOf = (files: SysfsFiles, id: number): "cpulist" | "cpumap" =>
  files.has(`node${id}/cpulist`) ? "cpulist" : "cpumap";

/** @returns undefined when something about it was reported */
function readNode(files: SysfsFiles, id: number): NodeFiles | undefined {
  const before = files.count;
  const cpus = readCpus(files, `node${id}`);

  const distanceText = files.text(`node${id}/distance`);
  const distance = (distanceText ?? "")
    .trim()
    .split(/\s+/)
    .map((word) => (/^\d{1,3}$/.test(word) ? Number(word) : NaN));
  if (distanceText === undefined) {
    if (files.soundSince(before)) files.report(`node${id}/distance`, "missing");
  } else if (distance.some((value) => !(value >= 10 && value <= 255))) {
    files.report(
      `node${id}/distance`,
      `${quoted(distanceText.trim())} is not a row of distances from 10 to 255`,
      "write it like 10 21",
    );
  }

  const soFar = files.count;
  const meminfo = files.text(`node${id}/meminfo`);
  const total = /MemTotal:\s*(\d{1,12})\s*kB/.exec(meminfo ?? "");
  if (meminfo === undefined) {
    if (files.soundSince(soFar)) files.report(`node${id}/meminfo`, "missing");
  } else if (!total)
    files.report(`node${id}/meminfo`, "no MemTotal in kB", "a line like `Node 0 MemTotal: 65843300 kB` is needed");

  const access = ([1, 0] as const).flatMap((kind): Access[] => {
    const initiators = `node${id}/access${kind}/initiators`;
    const latencyNs = files.figure(`${initiators}/read_latency`, "nanoseconds");
    const bandwidthMBs = files.figure(`${initiators}/read_bandwidth`, "MB/s");
    // A figure of 0: the firmware did not say.
    return latencyNs || bandwidthMBs
      ? [
          {
            kind,
            from: initiatorsIn(files, initiators),
            ...(latencyNs ? { latencyNs } : {}),
            ...(bandwidthMBs ? { bandwidthMBs } : {}),
          },
        ]
      : [];
  });
  return files.soundSince(before)
    ? { id, cpus: cpus!, memoryBytes: Number(total![1]) * 1024, distance, access }
    : undefined;
}

/** Nodes that are entries of the folder; links to them need not lead anywhere. */
const initiatorsIn = (files: SysfsFiles, folder: string): number[] =>
  files.entries(folder).flatMap((entry) => (/^node\d{1,2}$/.test(entry) ? [Number(entry.slice(4))] : []));

function readCpus(files: SysfsFiles, node: string): readonly number[] | undefined {
  const before = files.count;
  const list = files.text(`${node}/cpulist`);
  const mask = files.text(`${node}/cpumap`);
  const fromList = list === undefined ? undefined : parseCpuList(list);
  const fromMask = mask === undefined ? undefined : parseCpuMask(mask);
  if (list === undefined && mask === undefined) {
    if (files.soundSince(before)) files.report(`${node}/cpulist`, "missing, and so is cpumap");
  } else if (list !== undefined && !fromList)
    files.report(`${node}/cpulist`, `${quoted(list.trim())} is not a list of CPUs`, "write it like 0-11,24-35");
  else if (mask !== undefined && !fromMask)
    files.report(`${node}/cpumap`, `${quoted(mask.trim())} is not a mask of CPUs`, "write it like 00000f00,00f00fff");
  else if (fromList && fromMask && fromList.join() !== fromMask.join())
    files.report(`${node}/cpumap`, "names other CPUs than cpulist", "remove one of the two");
  else if ((fromList ?? fromMask)!.some((cpu) => cpu > 4095))
    files.report(
      `${node}/${list === undefined ? "cpumap" : "cpulist"}`,
      "CPU numbers go to 4095",
      "leave the CPUs above out",
    );
  return fromList ?? fromMask;
}

/** What a CPU sees of each node's memory: figures the firmware gives or implies. */
interface Measured {
  readonly matrix: (number | undefined)[][];
  /** Nodes whose figures are of devices without CPUs. */
  readonly passedOver: readonly number[];
}

/** A memory's figure scales every CPU node's view of it alike; without one, the distance alone counts. */
function measured(
  nodes: readonly NodeFiles[],
  which: "latencyNs" | "bandwidthMBs",
  scaled: (distance: number) => number,
): Measured {
  const matrix = nodes.map(() => nodes.map((): number | undefined => undefined));
  const passedOver: number[] = [];
  const devices = nodes.some((node) => node.cpus.length === 0 && node.memoryBytes === 0);
  for (const [j, node] of nodes.entries()) {
    const withCpus = nodes.flatMap((each, i) => (each.cpus.length > 0 && each.distance[j] !== 255 ? [i] : []));
    const named = ({ from }: Access): number[] => withCpus.filter((i) => from.includes(nodes[i]!.id));
    // The links to the initiators do not survive every way of copying: then those nearest by distance are meant, unless
    // a device may be.
    const ofCpus = (each: Access): boolean =>
      each.from.length > 0 ? named(each).length > 0 : each.kind === 1 || !devices;
    const access = node.access.find((each) => each[which] !== undefined && ofCpus(each));
    if (!access && node.access.some((each) => each[which] !== undefined)) passedOver.push(node.id);
    if (!access) {
      for (const i of withCpus) matrix[i]![j] = scaled(nodes[i]!.distance[j]!);
      continue;
    }
    const figure = access[which]!;
    const least = Math.min(...withCpus.map((i) => nodes[i]!.distance[j]!));
    const initiators = access.from.length > 0 ? named(access) : withCpus.filter((i) => nodes[i]!.distance[j] === least);
    if (initiators.length === 0) continue;
    const factor = figure / scaled(nodes[initiators[0]!]!.distance[j]!);
    for (const i of withCpus)
      matrix[i]![j] = initiators.includes(i)
        ? figure
        : Math.max(Math.round(scaled(nodes[i]!.distance[j]!) * factor * 10) / 10, 0.1);
  }
  return { matrix, passedOver };
}

/** What a copy of sysfs says of nodes and places. @throws InputError naming the file and the field of every fault */
export function readSysfs(tree: FolderTree): {
  readonly files: SysfsFiles;
  readonly nodes: readonly NodeFiles[];
  readonly places: ReadonlyMap<number, CpuPlace> | undefined;
} {
  const files = new SysfsFiles(tree, nodesDirectory(tree));
  const ids = files
    .entries("")
    .flatMap((entry) => (/^node\d+$/.test(entry) ? [Number(entry.slice(4))] : []))
    .sort((a, b) => a - b);
  for (const id of ids)
    if (id > 63)
      files.report(`node${id}`, "node ids go from 0 to 63", "leave the node out, in the other nodes' distances too");
  const nodes = ids.flatMap((id) => (id > 63 ? [] : (readNode(files, id) ?? [])));
  files.settle();
  agree(files, nodes);
  const places = readTopology(files, nodes);
  files.settle();
  return { files, nodes, places };
}

/** @throws InputError naming the file in the directory and the field of every fault */
export function machineFromSysfs(tree: FolderTree, name: string, base: MachineSpec): MachineSpec {
  const { nodes, places } = readSysfs(tree);
  const scale = distanceScale(base);
  const hasAccess = nodes.some((node) => node.access.length > 0);
  const latency = measured(nodes, "latencyNs", scale.latencyNs);
  const bandwidth = measured(nodes, "bandwidthMBs", scale.bandwidthMBs);
  const devicesOnly = [...new Set([...latency.passedOver, ...bandwidth.passedOver])].sort((a, b) => a - b);
  return machineOnFound(
    {
      name,
      nodes,
      description: `/sys/devices/system/node in ${tree.name}, on ${base.name}`,
      distance: nodes.map((node) => node.distance),
      ...(hasAccess ? { latencyNs: latency.matrix, bandwidthMBs: bandwidth.matrix } : {}),
      sources: [
        `nodes, CPUs, memory and distances: ${tree.name}`,
        ...(places ? ["sockets and cores: cpuN/topology there"] : []),
        ...(hasAccess
          ? [
              "what the firmware reports of a memory's nearest CPUs: access1/initiators, else access0; for other CPUs its ratio to the scaled figure is kept",
              `all other latency and bandwidth: distances scaled, ${scale.rule}`,
            ]
          : []),
        ...(devicesOnly.length > 0
          ? [
              `passed over: what the firmware reports of the memory of node ${devicesOnly.join(", ")}, since it is seen from devices without CPUs (generic initiators)`,
            ]
          : []),
      ],
      certain: false,
      fromFirmware: true,
      ...(places ? { places } : {}),
    },
    base,
  );
}

/** Holds the nodes against each other. */
function agree(files: SysfsFiles, nodes: readonly NodeFiles[]): void {
  for (const { cpu, node, before } of sharedCpus(nodes))
    files.report(
      `node${node.id}/${listOf(files, node.id)}`,
      `CPU ${cpu} is in node ${before}, too`,
      "give every CPU one node",
    );
  for (const node of nodes) {
    const where = `node${node.id}/distance`;
    if (node.distance.length !== nodes.length) {
      files.report(where, `${node.distance.length} distances for ${nodes.length} nodes`);
      continue;
    }
    for (const [to, distance] of node.distance.entries()) {
      const other = nodes[to]!;
      if ((distance === 10) !== (other === node))
        files.report(where, `${distance} to node ${other.id}`, "a distance is 10 to its own node, more to another");
      if (distance === 255 && node.cpus.length > 0 && other.memoryBytes > 0) {
        const { reason, remedy } = cutOff(node.id, other.id);
        files.report(where, reason, remedy);
      }
    }
  }
}
