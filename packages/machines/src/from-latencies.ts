/** What follows from latencies where nothing else is known of a machine: nodes like the base's, and distances. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import type { FoundNode } from "./found-node.js";

/**
 * A node without CPUs has no row, hence no latency to itself: nobody will ever ask; the least anybody measured to it
 * stands there.
 */
export function withOwn(latency: readonly (readonly (number | undefined)[])[]): (number | undefined)[][] {
  return latency.map((row, i) =>
    row.map((value, j) => {
      if (value !== undefined || i !== j) return value;
      const column = latency.flatMap((each) => each[j] ?? []);
      return column.length > 0 ? Math.min(...column) : undefined;
    }),
  );
}

/** The base's first node with CPUs, its CPUs and cores. */
export function nodeOfBase(base: MachineSpec): { memoryBytes: number; threads: number; cores: number } {
  const like = base.nodes.find((node) => base.cpus.some((cpu) => cpu.node === node.id))!;
  const cpus = base.cpus.filter((cpu) => cpu.node === like.id);
  const cores = new Set(cpus.map((cpu) => cpu.core)).size;
  return { memoryBytes: like.memoryBytes, cores, threads: Math.round(cpus.length / cores) };
}

/** @returns why so many nodes like the base's cannot be; undefined when they can */
export function tooManyCpus(nodes: number, base: MachineSpec): string | undefined {
  const { cores, threads } = nodeOfBase(base);
  return nodes * cores * threads > 4096
    ? `${nodes} nodes like those of ${base.name} have more than 4096 CPUs`
    : undefined;
}

/**
 * Nodes like those of the base. @param withCpus those that get the CPUs of one; the others are memory only
 */
export function nodesAsInBase(ids: readonly number[], withCpus: ReadonlySet<number>, base: MachineSpec): FoundNode[] {
  const { memoryBytes, cores, threads } = nodeOfBase(base);
  const allCores = cores * ids.filter((id) => withCpus.has(id)).length;
  let core = 0;
  return ids.map((id): FoundNode => {
    if (!withCpus.has(id)) return { id, cpus: [], memoryBytes };
    const first = core;
    core += cores;
    // First threads of all cores come first, as Linux numbers them.
    return {
      id,
      cores,
      memoryBytes,
      cpus: Array.from({ length: cores * threads }, (_, i) => Math.floor(i / cores) * allCores + first + (i % cores)),
    };
  });
}

/** 10 x latency / local latency, 11 to 254. @param latency from, to; undefined where nobody measured */
export const distancesFromLatency = (
  ids: readonly number[],
  latency: (from: number, to: number) => number | undefined,
): number[][] =>
  ids.map((from) =>
    ids.map((to) => {
      if (from === to) return 10;
      const there = latency(from, to);
      const local = latency(from, from);
      if (there !== undefined && local !== undefined)
        return Math.min(254, Math.max(11, Math.round((10 * there) / local)));
      const back = latency(to, from);
      const far = latency(to, to);
      // Neither measured: as far as a table can say, short of unreachable.
      return back !== undefined && far !== undefined ? Math.min(254, Math.max(11, Math.round((10 * back) / far))) : 254;
    }),
  );
