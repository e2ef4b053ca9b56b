/** Four Xeon Platinum 8280 (Cascade Lake), every socket linked to every other: four nodes, all remote ones alike. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { skylakeServer } from "../families/skylake-server.js";
import { regularCpus, table } from "../topology.js";

const twoSockets =
  "Intel MLC v3.9 on 2x Xeon 8269CY (plantegg's blog): 77.9 143.2 / 144.4 78.4 ns, 113,139 and 50,923 MB/s";

/**
 * No MLC output of four such sockets was found. With three UPI links a socket all four are direct neighbours, so the
 * figures of two sockets stand for every pair; that a full mesh is even was seen on 4x E7-4800 v2 (135 local, 194 to
 * 202 remote).
 */
export const xeon8280: MachineSpec = {
  name: "xeon-8280-4s",
  description: "4 x Xeon Platinum 8280 (Cascade Lake, 28 cores), full mesh of UPI links",
  ...skylakeServer,
  nodes: [0, 1, 2, 3].map((id) => ({ id, memoryBytes: 192 * 2 ** 30 })),
  cpus: regularCpus({ sockets: 4, nodesPerSocket: 1, coresPerNode: 28, coresPerL3: 28, threadsPerCore: 2 }),
  hertz: {
    value: 2.7e9,
    low: 2.7e9,
    high: 4.0e9,
    source: "AnandTech Rome review for 2.7 GHz; 4.0 GHz turbo recalled",
    provisional: true,
  },
  l3: {
    bytes: 28 * 11 * 128 * 1024,
    ways: 11,
    inclusion: "victim",
    cycles: {
      value: 53,
      low: 46,
      high: 78,
      source:
        "19.5 ns on a Skylake server = 53 at 2.7 GHz; AnandTech Rome review 46 (8280); InstLatx64 77 to 79 on a 7800X",
    },
  },
  latencyNs: table(4, (i, j) => (i === j ? 78.2 : 143.8)),
  latencySpread: 0.15,
  bandwidthMBs: table(4, (i, j) => (i === j ? 113_139 : 50_923)),
  distance: table(4, (i, j) => (i === j ? 10 : 21)),
  cacheToCacheNs: {
    sameSocket: { value: 53.7, source: "FD.io CSIT, calibration data of 2x Xeon 8180 (s11-t31)" },
    otherSocket: {
      value: 145,
      low: 113.9,
      high: 177.7,
      source: "FD.io CSIT, 2x Xeon 8180: 113.9 homed at the writer, 177.7 at the reader; between them",
      provisional: true,
    },
  },
  interconnectSource: `${twoSockets}, means of both directions, taken for every pair of the four`,
  provisional: true,
  sources: [
    "Caches and TLBs: InstLatx64 CPUID dump of Xeon 8160; L3 28 x 1.375 MB, 11 ways, not inclusive",
    `Latency and bandwidth: ${twoSockets}; evenness of a full mesh: Intel blog 2014/01/28, 4x E7-4800 v2`,
    "Distances 10 and 21: numactl of Skylake and Cascade Lake machines",
    "Memory size: assumed, 192 GiB a node (twelve modules of 16 GiB)",
  ],
};
