/**
 * Reads what `numactl --hardware` prints:
 *
 *     available: 2 nodes (0-1)
 *     node 0 cpus: 0 1 2 3          memory-only nodes: nothing after the colon; long lists may go on in the next lines
 *     node 0 size: 65536 MB         MB of 1,048,576 bytes; memoryless nodes: 0
 *     node 0 free: 64000 MB         ignored
 *     node distances:
 *     node   0   1                  any padding
 *       0:  10  21                  255: unreachable
 *       1:  21  10
 *
 * Other lines (a shell's prompt, another tool's output) are passed over.
 *
 * @source numactl(8), "--hardware"; numactl.c, function hardware()
 */
import { parseCpuList } from "../cpu-list.js";
import { sharedCpu, type FoundNode } from "./on-base.js";
import { quoted, type TextLines } from "./text-lines.js";

/** Nodes and distances as printed, in the order of the node ids. */
export interface NumactlHardware {
  readonly nodes: readonly FoundNode[];
  readonly distance: readonly (readonly number[])[];
}

const AVAILABLE = /^\s*available:\s*(\d+)\s+nodes?\s*(?:\(([^)]*)\))?/;
const NODE = /^\s*node\s+(\d+)\s+(cpus|size|free):(.*)$/;
const DISTANCES = /^\s*node distances:\s*$/;
const rerun = "give the whole output of `numactl --hardware`";
const numbers = (text: string): number[] => text.trim().split(/\s+/).filter((word) => word !== "").map((word) => (/^\d{1,9}$/.test(word) ? Number(word) : NaN));

/** Whether the text holds such output. Blanks, not \s: that would run over line ends, from every line anew. */
export const isNumactlHardware = (text: string): boolean => /^[ \t]*available: *\d+ +nodes?/m.test(text) || /^[ \t]*node +\d+ +cpus:/m.test(text) || /No NUMA support available/.test(text);

/** @throws InputError naming line and field */
export function parseNumactlHardware(text: TextLines): NumactlHardware {
  const cpus = new Map<number, number[]>();
  const sizes = new Map<number, number>();
  const firstLine = new Map<number, number>();
  let available: { ids: number[] | undefined; count: number; line: number } | undefined;
  let distanceLine: number | undefined;
  const { lines } = text;

  for (let index = 0; index < lines.length; index++) {
    const line = lines[index]!;
    if (/No NUMA support available/.test(line)) throw text.fault(index, undefined, "numactl found no NUMA on this machine", "run it on the machine to be modelled");
    const head = AVAILABLE.exec(line);
    if (head) {
      if (available) throw text.fault(index, "available", "a second output of numactl begins", "keep one of them");
      available = { count: Number(head[1]), ids: head[2] === undefined ? undefined : parseCpuList(head[2]), line: index };
    }
    if (DISTANCES.test(line)) {
      if (distanceLine !== undefined) throw text.fault(index, "node distances", "a second table of distances begins", "keep one of them");
      distanceLine = index;
    }
    const said = NODE.exec(line);
    if (!said) continue;
    const id = Number(said[1]);
    const field = `node ${id} ${said[2]}`;
    if (id > 63) throw text.fault(index, field, "node ids go from 0 to 63", "leave the node out, in the table of distances too");
    if (said[2] === "cpus") {
      if (cpus.has(id)) throw text.fault(index, field, "the node is listed twice", "keep one of them");
      const list = numbers(said[3]!);
      while (index + 1 < lines.length && /^\s*\d[\d\s]*$/.test(lines[index + 1]!)) list.push(...numbers(lines[++index]!));
      const wrong = list.findIndex((cpu) => !(cpu <= 4095));
      if (wrong >= 0) throw text.fault(index, field, `not a list of CPU numbers up to 4095: ${quoted(said[3]!.trim())}`, "separate the numbers by blanks");
      cpus.set(id, list.sort((a, b) => a - b));
      firstLine.set(id, index);
    } else if (said[2] === "size") {
      if (sizes.has(id)) throw text.fault(index, field, "given twice", "keep one of them");
      const size = /^\s*(\d{1,9})\s*([KMG]B)\s*$/.exec(said[3]!);
      if (!size) throw text.fault(index, field, `${quoted(said[3]!.trim())} is not a size`, "write it like `65536 MB`");
      sizes.set(id, Number(size[1]) * { KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30 }[size[2] as "KB" | "MB" | "GB"]);
    }
  }

  const ids = [...cpus.keys()].sort((a, b) => a - b);
  if (ids.length === 0) throw text.fault(available?.line, undefined, "no line `node N cpus:`", rerun);
  if (available) {
    const listed = available.ids ?? ids;
    if (available.count !== listed.length) throw text.fault(available.line, "available", `${available.count} nodes, but ${listed.length} are named`, rerun);
    const missing = listed.find((id) => !cpus.has(id));
    if (missing !== undefined) throw text.fault(available.line, "available", `node ${missing} has no line \`node ${missing} cpus:\``, rerun);
    const unnamed = ids.find((id) => !listed.includes(id));
    if (unnamed !== undefined) throw text.fault(firstLine.get(unnamed), `node ${unnamed} cpus`, `node ${unnamed} is not among the available nodes`, rerun);
  }
  const nodes = ids.map((id): FoundNode => {
    const memoryBytes = sizes.get(id);
    if (memoryBytes === undefined) throw text.fault(firstLine.get(id), `node ${id} size`, "missing", `add a line \`node ${id} size: ... MB\`, 0 for a memoryless node`);
    return { id, cpus: cpus.get(id)!, memoryBytes };
  });
  const shared = sharedCpu(nodes);
  if (shared) throw text.fault(firstLine.get(shared.node.id), `node ${shared.node.id} cpus`, `CPU ${shared.cpu} is listed twice, here and in node ${shared.before}`, "give every CPU one node");
  return { nodes, distance: parseDistances(text, ids, distanceLine) };
}

function parseDistances(text: TextLines, ids: readonly number[], at: number | undefined): number[][] {
  const field = "node distances";
  if (at === undefined) {
    if (ids.length === 1) return [[10]];
    throw text.fault(undefined, field, "the table is missing", rerun);
  }
  const { lines } = text;
  const header = /^\s*node\s+([\d\s]+)$/.exec(lines[at + 1] ?? "");
  if (!header) throw text.fault(at + 1, field, "no heading `node  0  1 ...` below", rerun);
  const columns = numbers(header[1]!);
  if (columns.length !== ids.length || columns.some((id, i) => id !== ids[i])) throw text.fault(at + 1, field, `columns ${columns.join(" ")} are not the nodes ${ids.join(" ")}`, rerun);
  return ids.map((id, i) => {
    const index = at + 2 + i;
    const row = /^\s*(\d+):(.*)$/.exec(lines[index] ?? "");
    if (!row || Number(row[1]) !== id) throw text.fault(Math.min(index, lines.length - 1), `${field}, row ${id}`, "missing", rerun);
    const values = numbers(row[2]!);
    if (values.length !== ids.length) throw text.fault(index, `${field}, row ${id}`, `${values.length} figures for ${ids.length} nodes`, rerun);
    const wrong = values.findIndex((value, j) => !(value >= 10 && value <= 255) || (value === 10) !== (i === j));
    if (wrong >= 0) throw text.fault(index, `${field}, row ${id}, column ${ids[wrong]}`, `${quoted(row[2]!.trim().split(/\s+/)[wrong]!)} is not a distance`, "a distance is 10 to its own node, 11 to 254 to another, 255 where unreachable");
    return values;
  });
}
