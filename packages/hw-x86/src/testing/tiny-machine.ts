/** Machines small enough that a handful of accesses meets every limit, with made-up round numbers. */
import type { CpuSpec, MachineSpec, Sourced } from "../spec.js";

const made = (value: number): Sourced => ({ value, source: "made up for tests" });

/** Shape of a {@link tinyMachine}. */
export interface TinyShape {
  /** Default 2. */
  readonly nodes?: number;
  /** Cores of each node; default 2. All cores of a node share one L3 and one socket. */
  readonly coresPerNode?: number;
  /** Default 1. */
  readonly threadsPerCore?: number;
  /** Default 512 MiB. */
  readonly bytesPerNode?: number;
  readonly inclusion?: MachineSpec["l3"]["inclusion"];
  /** Anything else, replacing the default outright. */
  readonly with?: Partial<MachineSpec>;
}

/**
 * CPU ids count through the nodes: with 2 nodes of 2 cores, CPUs 0 and 1 are on node 0, 2 and 3 on node 1. Caches have
 * 64 sets, L1 2 ways, L2 4, L3 8; TLBs 8 entries of 2 ways, second level 16; latency 100 ns local, 200 remote, at 1
 * GHz, so that a nanosecond is a cycle.
 */
export function tinyMachine(shape: TinyShape = {}): MachineSpec {
  const {
    nodes = 2,
    coresPerNode = 2,
    threadsPerCore = 1,
    bytesPerNode = 512 * 0x10_0000,
    inclusion = "inclusive",
  } = shape;
  const ids = Array.from({ length: nodes }, (_, id) => id);
  const cpus: CpuSpec[] = ids.flatMap((node) =>
    Array.from({ length: coresPerNode * threadsPerCore }, (_, n) => ({
      id: node * coresPerNode * threadsPerCore + n,
      node,
      core: node * coresPerNode + Math.floor(n / threadsPerCore),
      l3: node,
      socket: node,
    })),
  );
  const matrix = (local: number, remote: number): number[][] =>
    ids.map((i) => ids.map((j) => (i === j ? local : remote)));
  return {
    name: `tiny-${nodes}-node`,
    description: "for tests",
    nodes: ids.map((id) => ({ id, memoryBytes: bytesPerNode, startAddress: id * bytesPerNode })),
    cpus,
    hertz: made(1e9),
    l1i: { bytes: 8192, ways: 2, cycles: made(4) },
    l1d: { bytes: 8192, ways: 2, cycles: made(4) },
    l2: { bytes: 16384, ways: 4, cycles: made(12) },
    l3: { bytes: 32768, ways: 8, cycles: made(40), inclusion },
    translation: {
      instruction: { small: { entries: 8, ways: 2 }, large: { entries: 2, ways: 2 } },
      data: { small: { entries: 8, ways: 2 }, large: { entries: 4, ways: 2 }, huge: { entries: 2, ways: 2 } },
      second: { entries: 16, ways: 4, large: true, cycles: made(8) },
      pagingStructure: { pde: 4, pdpte: 2, pml4e: 1, source: "made up for tests" },
      source: "made up for tests",
    },
    latencyNs: matrix(100, 200),
    latencySpread: 0.1,
    bandwidthMBs: matrix(10_000, 5_000),
    distance: matrix(10, 20),
    cacheToCacheNs: { sameSocket: made(60), otherSocket: made(150) },
    interconnectSource: "made up for tests",
    provisional: true,
    costs: {
      cyclesPerInstruction: { value: 0.5, low: 0.25, high: 1, source: "made up for tests" },
      fetchExposure: { value: 0.75, low: 0.5, high: 1, source: "made up for tests" },
      loadExposure: { value: 0.5, low: 0.25, high: 1, source: "made up for tests" },
      storeExposure: { value: 0.125, low: 0, high: 0.5, source: "made up for tests" },
      walkExposure: { value: 0.75, low: 0.5, high: 1, source: "made up for tests" },
      prefetchLines: 0,
      ipiCycles: made(1000),
    },
    physicalBits: 46,
    virtualBits: 57,
    sources: ["made up for tests"],
    ...shape.with,
  };
}
