/**
 * Two EPYC 9654 (Genoa) with one node a socket: many small L3s, and addresses of 57 bits for five levels of page
 * tables.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { zen4 } from "../families/zen4.js";
import { regularCpus } from "../topology.js";

const local = "113.0 ns and 369 GB/s: Intel MLC on one Genoa with NPS1 (CloudLab, 12 channels of DDR5)";
const remote = "200 ns: Intel MLC on 2x EPYC 9224 (NPS2), 199.0 to 200.7 between sockets";
const coreToCore = "nviennot/core-to-core-latency, README: EPYC 7R13 (Milan),";

export const epyc9654: MachineSpec = {
  name: "epyc-9654-2s",
  description: "2 x EPYC 9654 (Genoa, 96 cores, 8 a CCD with 32 MB of L3 each), NPS1: takes --levels 5",
  ...zen4,
  nodes: [0, 1].map((id) => ({ id, memoryBytes: 384 * 2 ** 30 })),
  cpus: regularCpus({ sockets: 2, nodesPerSocket: 1, coresPerNode: 96, coresPerL3: 8, threadsPerCore: 2 }),
  hertz: {
    value: 2.4e9,
    low: 2.4e9,
    high: 3.7e9,
    source: "recalled: AMD's product page, base 2.4 GHz, boost 3.7 GHz",
    provisional: true,
  },
  l3: {
    bytes: 32 << 20,
    ways: 16,
    inclusion: "victim",
    cycles: {
      value: 50,
      low: 50,
      high: 67,
      source: "InstLatx64 memory latency of Threadripper PRO 7995WX, the same CCDs: 50 to 67",
    },
  },
  latencyNs: [
    [113, 200],
    [200, 113],
  ],
  latencySpread: 0.15,
  bandwidthMBs: [
    [369_000, 153_200],
    [153_200, 369_000],
  ],
  distance: [
    [10, 32],
    [32, 10],
  ],
  cacheToCacheNs: {
    sameL3: { value: 23, low: 18, high: 30, source: `assumed: as ${coreToCore} 23 ns within a CCD`, provisional: true },
    sameSocket: {
      value: 107,
      low: 80,
      high: 150,
      source: `assumed: as ${coreToCore} 107 ns between CCDs`,
      provisional: true,
    },
    otherSocket: {
      value: 200,
      low: 170,
      high: 260,
      source: "assumed: as the remote memory's latency",
      provisional: true,
    },
  },
  interconnectSource: `${local}; ${remote}; bandwidth between sockets assumed: twice the 76.6 GB/s that half a socket of such a 9224 reads; distances 10 and 32: numactl of the 9224`,
  provisional: true,
  sources: [
    "Caches, TLBs and address widths: InstLatx64 CPUID dump of EPYC 9654: L2 1 MB and 8 ways, L3 32 MB and 16 ways a CCD, 52 and 57 bits",
    `Latency: ${local}; ${remote}`,
    "Memory size: assumed, 384 GiB a node (twelve modules of 32 GiB)",
  ],
};
