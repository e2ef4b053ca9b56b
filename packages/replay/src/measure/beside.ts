/**
 * Which CPUs run something beside those that are measured: others of their nodes, or the other threads of their cores.
 */
import type { CpuId, MachineSpec } from "@kreplica/hw-x86/api";

/**
 * One CPU beside each: the other thread of its core, or another core of its node.
 * @returns undefined where there are not so many
 */
export const cpusBeside = (spec: MachineSpec, cpus: readonly CpuId[], threads: boolean): CpuId[] | undefined =>
  (threads ? siblingsOf : neighboursOf)(spec, cpus);

/**
 * The other threads of the cores that CPUs are on, one a core, by id.
 * @param cpus none on the core of another
 * @returns undefined where a core has one thread, or two of them share one
 */
export function siblingsOf(spec: MachineSpec, cpus: readonly CpuId[]): CpuId[] | undefined {
  const byId = new Map(spec.cpus.map((each) => [each.id, each]));
  const cores = new Set(cpus.map((id) => byId.get(id)!.core));
  if (cores.size < cpus.length) return undefined;
  const found = [...cores].flatMap((core) => {
    const threads = spec.cpus.filter((each) => each.core === core && !cpus.includes(each.id)).map(({ id }) => id);
    return threads.length === 0 ? [] : [Math.min(...threads)];
  });
  return found.length < cores.size ? undefined : found.sort((a, b) => a - b);
}

/**
 * For each CPU another of its node, each on a core of its own: behind the same last-level cache while there are any,
 * then behind others; the first thread of the lowest core.
 * @returns undefined where a node has not so many cores
 */
export function neighboursOf(spec: MachineSpec, cpus: readonly CpuId[]): CpuId[] | undefined {
  const byId = new Map(spec.cpus.map((each) => [each.id, each]));
  const taken = new Set(cpus.map((id) => byId.get(id)!.core));
  const found: CpuId[] = [];
  for (const cpu of cpus) {
    const { node, l3 } = byId.get(cpu)!;
    const [first] = spec.cpus
      .filter((each) => each.node === node && !taken.has(each.core))
      .sort((a, b) => Number(b.l3 === l3) - Number(a.l3 === l3) || a.core - b.core || a.id - b.id);
    if (!first) return undefined;
    taken.add(first.core);
    found.push(first.id);
  }
  return found.sort((a, b) => a - b);
}
