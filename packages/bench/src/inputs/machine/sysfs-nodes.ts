/**
 * Reads a copy of /sys/devices/system/node (`cp -rL /sys/devices/system/node DIR`; links that loop may be left out):
 *
 *     nodeN/cpulist      0-11,24-35           or nodeN/cpumap: 00000f00,00f00fff
 *     nodeN/distance     10 21                to the nodes in ascending order
 *     nodeN/meminfo      Node 0 MemTotal:       65843300 kB
 *     nodeN/access0/initiators/read_latency, read_bandwidth     nanoseconds, MB/s, from the nodes that are entries there
 *
 * @source Linux Documentation/ABI/stable/sysfs-devices-node; admin-guide/mm/numaperf
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { parseCpuList, parseCpuMask } from "../cpu-list.js";
import { InputError, whyNot } from "../input-error.js";
import { distanceScale } from "./distance-scale.js";
import { cutOff, machineOnFound, sharedCpu, type FoundNode } from "./on-base.js";
import { quoted } from "./text-lines.js";

/** Files of sysfs are at most a page, cpumaps a little more. */
const LONGEST = 64 << 10;
const recopy = "copy it again: cp -rL /sys/devices/system/node DIR";

function read(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  try {
    if (!statSync(path).isFile() || statSync(path).size > LONGEST) throw new Error("not a small file");
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new InputError({ file: path, reason: `cannot be read (${(error as Error).message})`, remedy: recopy });
  }
}

/** The directory itself, or the one inside it that holds node0, node1 ... */
function nodesDirectory(directory: string): string {
  const inside = ["", "node", "system/node", "devices/system/node", "sys/devices/system/node"].map((each) => join(directory, each));
  let found;
  try {
    found = inside.find((each) => existsSync(each) && statSync(each).isDirectory() && readdirSync(each).some((entry) => /^node\d+$/.test(entry)));
  } catch (error) {
    throw new InputError({ file: directory, ...whyNot(error, "name a copy of /sys/devices/system/node") });
  }
  if (!found) throw new InputError({ file: directory, reason: "no node0, node1 ... in this directory", remedy: "name a copy of /sys/devices/system/node" });
  return found;
}

interface NodeFiles extends FoundNode {
  readonly directory: string;
  readonly distance: readonly number[];
  /** access0: what the best-placed CPUs see of this node's memory. */
  readonly access?: { readonly from: readonly number[]; readonly latencyNs?: number; readonly bandwidthMBs?: number };
}

function readNode(root: string, id: number): NodeFiles {
  const directory = join(root, `node${id}`);
  const fault = (name: string, reason: string, remedy = recopy): InputError => new InputError({ file: join(directory, name), line: 1, field: `node${id}/${name}`, reason, remedy });

  const list = read(join(directory, "cpulist"));
  const mask = read(join(directory, "cpumap"));
  if (list === undefined && mask === undefined) throw fault("cpulist", "missing, and so is cpumap");
  const fromList = list === undefined ? undefined : parseCpuList(list);
  if (list !== undefined && !fromList) throw fault("cpulist", `${quoted(list.trim())} is not a list of CPUs`, "write it like 0-11,24-35");
  const fromMask = mask === undefined ? undefined : parseCpuMask(mask);
  if (mask !== undefined && !fromMask) throw fault("cpumap", `${quoted(mask.trim())} is not a mask of CPUs`, "write it like 00000f00,00f00fff");
  if (fromList && fromMask && fromList.join() !== fromMask.join()) throw fault("cpumap", "names other CPUs than cpulist", "remove one of the two");
  const cpus = fromList ?? fromMask!;
  if (cpus.some((cpu) => cpu > 4095)) throw fault(list === undefined ? "cpumap" : "cpulist", "CPU numbers go to 4095", "leave the CPUs above out");

  const distanceText = read(join(directory, "distance"));
  if (distanceText === undefined) throw fault("distance", "missing");
  const distance = distanceText.trim().split(/\s+/).map((word) => (/^\d{1,3}$/.test(word) ? Number(word) : NaN));
  if (distance.some((value) => !(value >= 10 && value <= 255))) throw fault("distance", `${quoted(distanceText.trim())} is not a row of distances from 10 to 255`, "write it like 10 21");

  const meminfo = read(join(directory, "meminfo"));
  if (meminfo === undefined) throw fault("meminfo", "missing");
  const total = /MemTotal:\s*(\d{1,12})\s*kB/.exec(meminfo);
  if (!total) throw fault("meminfo", "no MemTotal in kB", "a line like `Node 0 MemTotal: 65843300 kB` is needed");

  const initiators = join(directory, "access0", "initiators");
  const figure = (name: string): number | undefined => {
    const text = read(join(initiators, name));
    if (text === undefined) return undefined;
    if (!/^\s*\d{1,12}\s*$/.test(text)) throw fault(`access0/initiators/${name}`, `${quoted(text.trim())} is not a number`, name === "read_latency" ? "write nanoseconds" : "write MB/s");
    return Number(text);
  };
  const latencyNs = figure("read_latency");
  const bandwidthMBs = figure("read_bandwidth");
  const from = existsSync(initiators) && statSync(initiators).isDirectory() ? readdirSync(initiators).flatMap((entry) => (/^node\d{1,2}$/.test(entry) ? [Number(entry.slice(4))] : [])) : [];
  const access = { from, ...(latencyNs ? { latencyNs } : {}), ...(bandwidthMBs ? { bandwidthMBs } : {}) };
  // A figure of 0: the firmware did not say.
  return { id, directory, cpus, memoryBytes: Number(total[1]) * 1024, distance, ...(latencyNs || bandwidthMBs ? { access } : {}) };
}

/** Figures that `access0` gives or implies: a memory's figure scales every CPU node's view of it alike; without one, the distance alone counts. */
function measured(nodes: readonly NodeFiles[], which: "latencyNs" | "bandwidthMBs", scaled: (distance: number) => number): (number | undefined)[][] {
  const result = nodes.map(() => nodes.map((): number | undefined => undefined));
  for (const [j, node] of nodes.entries()) {
    const figure = node.access?.[which];
    const withCpus = nodes.flatMap((each, i) => (each.cpus.length > 0 && each.distance[j] !== 255 ? [i] : []));
    const named = withCpus.filter((i) => node.access?.from.includes(nodes[i]!.id) ?? false);
    // The links to the initiators do not survive every way of copying: then those nearest by distance are meant.
    const least = Math.min(...withCpus.map((i) => nodes[i]!.distance[j]!));
    if (figure === undefined) {
      for (const i of withCpus) result[i]![j] = scaled(nodes[i]!.distance[j]!);
      continue;
    }
    const initiators = named.length > 0 ? named : withCpus.filter((i) => nodes[i]!.distance[j] === least);
    if (initiators.length === 0) continue;
    const factor = figure / scaled(nodes[initiators[0]!]!.distance[j]!);
    for (const i of withCpus) result[i]![j] = initiators.includes(i) ? figure : Math.max(Math.round(scaled(nodes[i]!.distance[j]!) * factor * 10) / 10, 0.1);
  }
  return result;
}

/** @throws InputError naming the file in the directory and the field */
export function machineFromSysfs(directory: string, name: string, base: MachineSpec): MachineSpec {
  const root = nodesDirectory(directory);
  const ids = readdirSync(root).flatMap((entry) => (/^node\d+$/.test(entry) ? [Number(entry.slice(4))] : [])).sort((a, b) => a - b);
  const high = ids.find((id) => id > 63);
  if (high !== undefined) throw new InputError({ file: join(root, `node${high}`), reason: "node ids go from 0 to 63", remedy: "leave the node out, in the other nodes' distances too" });
  const nodes = ids.map((id) => readNode(root, id));
  for (const node of nodes) {
    if (node.distance.length !== nodes.length) {
      throw new InputError({ file: join(node.directory, "distance"), line: 1, field: `node${node.id}/distance`, reason: `${node.distance.length} distances for ${nodes.length} nodes`, remedy: recopy });
    }
  }
  const fault = (node: typeof nodes[number], name: string, reason: string, remedy: string): InputError => new InputError({ file: join(node.directory, name), line: 1, field: `node${node.id}/${name}`, reason, remedy });
  const shared = sharedCpu(nodes);
  if (shared) throw fault(shared.node, existsSync(join(shared.node.directory, "cpulist")) ? "cpulist" : "cpumap", `CPU ${shared.cpu} is in node ${shared.before}, too`, "give every CPU one node");
  for (const node of nodes) {
    for (const [to, distance] of node.distance.entries()) {
      const other = nodes[to]!;
      if ((distance === 10) !== (other === node)) throw fault(node, "distance", `${distance} to node ${other.id}`, "a distance is 10 to its own node, more to another");
      if (distance === 255 && node.cpus.length > 0 && other.memoryBytes > 0) {
        const { reason, remedy } = cutOff(node.id, other.id);
        throw fault(node, "distance", reason, remedy);
      }
    }
  }
  const scale = distanceScale(base);
  const hasAccess = nodes.some((node) => node.access);
  return machineOnFound({
    name, nodes,
    description: `/sys/devices/system/node in ${directory}, on ${base.name}`,
    distance: nodes.map((node) => node.distance),
    ...(hasAccess ? { latencyNs: measured(nodes, "latencyNs", scale.latencyNs), bandwidthMBs: measured(nodes, "bandwidthMBs", scale.bandwidthMBs) } : {}),
    sources: [
      `nodes, CPUs, memory and distances: ${directory}`,
      ...(hasAccess ? ["what the firmware reports of a memory's nearest CPUs: access0/initiators; for other CPUs its ratio to the scaled figure is kept", `all other latency and bandwidth: distances scaled, ${scale.rule}`] : []),
    ],
    certain: false,
  }, base);
}
