/** Spells out the hardware threads of a regular machine, so that a preset can name them by a few counts. */
import type { CpuSpec } from "@kreplica/hw-x86/api";

/** A machine whose sockets are alike and whose threads are numbered as Linux numbers them on most servers. */
export interface RegularTopology {
  readonly sockets: number;
  readonly nodesPerSocket: number;
  readonly coresPerNode: number;
  /** At most `coresPerNode`, or all cores of a socket. */
  readonly coresPerL3: number;
  /** 1 or 2. */
  readonly threadsPerCore: number;
}

/**
 * First threads of all cores come first, in core order, then all second threads: core `c` of `C` has CPUs `c` and `C +
 * c`. Nodes, L3 domains and sockets are consecutive runs of cores.
 */
export function regularCpus({
  sockets,
  nodesPerSocket,
  coresPerNode,
  coresPerL3,
  threadsPerCore,
}: RegularTopology): CpuSpec[] {
  const coresPerSocket = nodesPerSocket * coresPerNode;
  const cores = sockets * coresPerSocket;
  return Array.from({ length: cores * threadsPerCore }, (_, id) => {
    const core = id % cores;
    return {
      id,
      core,
      node: Math.floor(core / coresPerNode),
      l3: Math.floor(core / coresPerL3),
      socket: Math.floor(core / coresPerSocket),
    };
  });
}

/**
 * A square table from a rule.
 * @param rule value in row `i`, column `j`
 */
export const table = (size: number, rule: (i: number, j: number) => number): number[][] =>
  Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_unused, j) => rule(i, j)));
