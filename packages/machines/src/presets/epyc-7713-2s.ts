/** Two EPYC 7713 (Milan) with one node a socket: the machine whose L3 is many small ones. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { zen3 } from "../families/zen3.js";
import { regularCpus } from "../topology.js";

const recalled =
  "recalled: 95 to 115 ns local and 190 to 210 ns remote for Rome and Milan with two sockets; no MLC output was found";
const coreToCore = "nviennot/core-to-core-latency, README: EPYC 7R13 (Milan),";

export const epyc7713: MachineSpec = {
  name: "epyc-7713-2s",
  description: "2 x EPYC 7713 (Milan, 64 cores, 8 a CCD with 32 MB of L3 each), NPS1, 2 nodes",
  ...zen3,
  nodes: [
    { id: 0, memoryBytes: 128 * 2 ** 30 },
    { id: 1, memoryBytes: 128 * 2 ** 30 },
  ],
  cpus: regularCpus({ sockets: 2, nodesPerSocket: 1, coresPerNode: 64, coresPerL3: 8, threadsPerCore: 2 }),
  hertz: {
    value: 2.0e9,
    low: 2.0e9,
    high: 3.675e9,
    source: "recalled: AMD's product page, base 2.0 GHz, boost 3.675 GHz",
    provisional: true,
  },
  l3: {
    bytes: 32 << 20,
    ways: 16,
    inclusion: "victim",
    cycles: {
      value: 46,
      low: 44,
      high: 67,
      source: "recalled: 46 for Zen 3; InstLatx64 measures 44 to 51 on Zen 2 (7742), 50 to 67 on Zen 4 (7995WX)",
      provisional: true,
    },
  },
  latencyNs: [
    [105, 200],
    [200, 105],
  ],
  latencySpread: 0.15,
  bandwidthMBs: [
    [165_000, 70_000],
    [70_000, 165_000],
  ],
  distance: [
    [10, 32],
    [32, 10],
  ],
  cacheToCacheNs: {
    sameL3: {
      value: 23,
      low: 20,
      high: 30,
      source: `${coreToCore} 23 ns within a CCD; the range is assumed`,
      provisional: true,
    },
    sameSocket: {
      value: 107,
      low: 85,
      high: 150,
      source: `${coreToCore} 107 ns between CCDs; the range is assumed`,
      provisional: true,
    },
    otherSocket: {
      value: 200,
      low: 170,
      high: 260,
      source: "recalled, like the remote memory latency",
      provisional: true,
    },
  },
  interconnectSource: `${recalled}; bandwidth about 80 % of eight channels of DDR4-3200 (204,800 MB/s) and, remote, four xGMI-2 links (both recalled)`,
  provisional: true,
  sources: [
    "Caches and TLBs: InstLatx64 CPUID dump of EPYC 7763, the same die: L2 512 KB, L3 32 MB and 16 ways a CCD of 8 cores",
    `Latency: ${recalled}`,
    "Distances 10 and 32: AMD 56338, as quoted",
    "CPU numbering: 0-63,128-191 and 64-127,192-255, as Linux numbers two such sockets (recalled)",
    "Memory size: assumed, 128 GiB a node",
  ],
};
