/**
 * Reads what `numactl --hardware` prints:
 *
 *     available: 2 nodes (0-1)
 *     node 0 cpus: 0 1 2 3          memory-only nodes: nothing after the colon
 *     node 0 size: 65536 MB         MB of 1,048,576 bytes; memoryless nodes: 0
 *     node 0 free: 64000 MB         ignored
 *     node distances:
 *     node   0   1                  any padding
 *       0:  10  21                  255: unreachable
 *       1:  21  10
 *
 * Rows of numbers may go on in the next lines. Other lines (a shell's prompt, another tool's output) are passed over.
 *
 * @source numactl(8), "--hardware"; numactl.c, function hardware()
 */
import { parseCpuList, quoted, type TextLines } from "@kreplica/inputs";
import { brokenNumber, foldedNumbers, type FoldedNumbers } from "./folded-numbers.js";
import { sharedCpus, type FoundNode } from "./found-node.js";

/** Nodes and distances as printed, in the order of the node ids. */
export interface NumactlHardware {
  readonly nodes: readonly FoundNode[];
  readonly distance: readonly (readonly number[])[];
}

const AVAILABLE = /^\s*available:\s*(\d+)\s+nodes?\s*(?:\(([^)]*)\))?/;
const NODE = /^\s*node\s+(\d+)\s+(cpus|size|free):(.*)$/;
const NO_DISTANCES = /^\s*No distance information available/;
const DISTANCES = /^\s*node distances:\s*$/;
const rerun = "give the whole output of `numactl --hardware`";
const join = "join the lines as numactl printed them";

/** Whether the text holds such output. Blanks, not \s: that would run over line ends, from every line anew. */
export const isNumactlHardware = (text: string): boolean =>
  /^[ \t]*available: *\d+ +nodes?/m.test(text) ||
  /^[ \t]*node +\d+ +cpus:/m.test(text) ||
  /No NUMA support available/.test(text);

/** What the lines say, before they are held against each other. */
interface Lines {
  readonly cpus: Map<number, FoldedNumbers & { readonly line: number }>;
  readonly sizes: Map<number, number>;
  /** Nodes whose size was given, if not as a size. */
  readonly sized: Set<number>;
  available?: { readonly ids: readonly number[] | undefined; readonly count: number; readonly line: number };
  distances?: number;
  /** No line names a node that cannot be. */
  idsFit: boolean;
}

/** @throws InputError naming line and field of every fault */
export function parseNumactlHardware(text: TextLines): NumactlHardware {
  const said = readLines(text);
  const ids = [...said.cpus.keys()].sort((a, b) => a - b);
  if (ids.length === 0) text.report(said.available?.line, undefined, "no line `node N cpus:`", rerun);
  const namesAgree = ids.length > 0 && said.idsFit && agree(text, said, ids);
  const nodes = ids.map((id): FoundNode => {
    if (!said.sized.has(id))
      text.report(
        said.cpus.get(id)!.line,
        `node ${id} size`,
        "missing",
        `add a line \`node ${id} size: ... MB\`, 0 for a memoryless node`,
      );
    return { id, cpus: [...said.cpus.get(id)!.values].sort((a, b) => a - b), memoryBytes: said.sizes.get(id) ?? 0 };
  });
  for (const { cpu, node, before } of sharedCpus(nodes)) {
    const folded = [node.id, before].find((id) => said.cpus.get(id)!.folds.length > 0);
    const perhaps =
      folded === undefined
        ? ""
        : `; perhaps the list of node ${folded}, which goes on in the next line, was broken inside a number`;
    text.report(
      said.cpus.get(node.id)!.line,
      `node ${node.id} cpus`,
      `CPU ${cpu} is listed twice, here and in node ${before}${perhaps}`,
      folded === undefined ? "give every CPU one node" : join,
    );
  }
  const distance = namesAgree ? parseDistances(text, ids, said.distances) : [];
  text.settle();
  return { nodes, distance };
}

function readLines(text: TextLines): Lines {
  const said: Lines = { cpus: new Map(), sizes: new Map(), sized: new Set(), idsFit: true };
  const { lines } = text;
  const tooHigh = new Set<number>();
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index]!;
    if (/No NUMA support available/.test(line))
      throw text.fault(
        index,
        undefined,
        "numactl found no NUMA on this machine",
        "run it on the machine to be modelled",
      );
    const head = AVAILABLE.exec(line);
    if (head) {
      // All of a second output would be faults.
      if (said.available) throw text.fault(index, "available", "a second output of numactl begins", "keep one of them");
      said.available = {
        count: Number(head[1]),
        ids: head[2] === undefined ? undefined : parseCpuList(head[2]),
        line: index,
      };
    }
    if (DISTANCES.test(line)) {
      if (said.distances !== undefined)
        throw text.fault(index, "node distances", "a second table of distances begins", "keep one of them");
      said.distances = index;
    }
    const node = NODE.exec(line);
    if (!node) continue;
    const id = Number(node[1]);
    const field = `node ${id} ${node[2]}`;
    if (id > 63) {
      if (!tooHigh.has(id))
        text.report(index, field, "node ids go from 0 to 63", "leave the node out, in the table of distances too");
      tooHigh.add(id);
      said.idsFit = false;
    } else if (node[2] === "cpus") {
      if (said.cpus.has(id)) text.report(index, field, "the node is listed twice", "keep one of them");
      else said.cpus.set(id, { ...readCpus(text, index, field, node[3]!), line: index });
    } else if (node[2] === "size") {
      const size = /^\s*(\d{1,9})\s*([KMG]B)\s*$/.exec(node[3]!);
      if (said.sized.has(id)) text.report(index, field, "given twice", "keep one of them");
      else if (!size) text.report(index, field, `${quoted(node[3]!.trim())} is not a size`, "write it like `65536 MB`");
      else
        said.sizes.set(id, Number(size[1]) * { KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30 }[size[2] as "KB" | "MB" | "GB"]);
      said.sized.add(id);
    }
  }
  return said;
}

function readCpus(text: TextLines, index: number, field: string, rest: string): FoldedNumbers {
  const row = foldedNumbers(text.lines, index, rest);
  const broken = brokenNumber(row);
  if (broken) {
    const [end, begin] = broken.parts;
    text.report(
      index + 1 + broken.fold,
      field,
      `the list is broken inside a number: ${end} at the end of the line before and ${begin} here are ${end}${begin}`,
      join,
    );
    return { ...row, values: [] };
  }
  if (row.values.every((cpu) => cpu <= 4095)) return row;
  text.report(
    index,
    field,
    `not a list of CPU numbers up to 4095: ${quoted(rest.trim())}`,
    "separate the numbers by blanks",
  );
  return { ...row, values: [] };
}

/** Holds the nodes that are announced against those that follow. */
function agree(text: TextLines, { available, cpus }: Lines, ids: readonly number[]): boolean {
  if (!available) return true;
  const listed = available.ids ?? ids;
  if (available.count !== listed.length) {
    text.report(available.line, "available", `${available.count} nodes, but ${listed.length} are named`, rerun);
    return false;
  }
  const missing = listed.filter((id) => !cpus.has(id));
  const unnamed = ids.filter((id) => !listed.includes(id));
  for (const id of missing)
    text.report(available.line, "available", `node ${id} has no line \`node ${id} cpus:\``, rerun);
  for (const id of unnamed)
    text.report(cpus.get(id)!.line, `node ${id} cpus`, `node ${id} is not among the available nodes`, rerun);
  return missing.length === 0 && unnamed.length === 0;
}

function parseDistances(
  text: TextLines,
  ids: readonly number[],
  at: number | undefined,
): readonly (readonly number[])[] {
  const field = "node distances";
  if (at === undefined) {
    // Kernels without a SLIT, and containers that hide it. Linux takes 10 and 20 then.
    if (text.lines.some((line) => NO_DISTANCES.test(line)))
      return ids.map((from) => ids.map((to) => (from === to ? 10 : 20)));
    if (ids.length > 1) text.report(undefined, field, "the table is missing", rerun);
    return [[10]];
  }
  const { lines } = text;
  const header = /^\s*node\s+([\d\s]+)$/.exec(lines[at + 1] ?? "");
  if (!header) {
    text.report(at + 1, field, "no heading `node  0  1 ...` below", rerun);
    return [];
  }
  const columns = foldedNumbers(lines, at + 1, header[1]!);
  if (columns.values.length !== ids.length || columns.values.some((id, i) => id !== ids[i])) {
    const broken = brokenNumber(columns);
    text.report(
      at + 1,
      field,
      `columns ${columns.values.join(" ")} are not the nodes ${ids.join(" ")}${broken ? `: line ${at + 3 + broken.fold} begins inside a number` : ""}`,
      broken ? join : rerun,
    );
    return [];
  }
  let index = columns.next;
  return ids.map((id) => {
    const where = `${field}, row ${id}`;
    const row = /^\s*(\d+):(.*)$/.exec(lines[index] ?? "");
    if (!row || Number(row[1]) !== id) {
      text.report(Math.min(index, lines.length - 1), where, "missing", rerun);
      return [];
    }
    const { words, values, folds, next } = foldedNumbers(lines, index, row[2]!);
    const line = index;
    index = next;
    if (values.length !== ids.length) {
      const broken = folds.length > 0 && values.length > ids.length;
      text.report(
        line,
        where,
        `${values.length} figures for ${ids.length} nodes${broken ? "; perhaps the row, which goes on in the next line, was broken inside a number" : ""}`,
        broken ? join : rerun,
      );
    } else {
      const wrong = values.findIndex(
        (value, j) => !(value >= 10 && value <= 255) || (value === 10) !== (ids[j] === id),
      );
      if (wrong >= 0)
        text.report(
          line,
          `${where}, column ${ids[wrong]}`,
          `${quoted(words[wrong]!)} is not a distance`,
          "a distance is 10 to its own node, 11 to 254 to another, 255 where unreachable",
        );
    }
    return values;
  });
}
