/**
 * Two Xeon Platinum 8180 (Skylake-SP): the first server generation whose L3 includes nothing; all its figures measured
 * on one machine.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { skylakeServer } from "../families/skylake-server.js";
import { regularCpus } from "../topology.js";

const calibration = "FD.io CSIT, calibration data of 2x Xeon 8180 (s11-t31), Intel MLC";

export const xeon8180: MachineSpec = {
  name: "xeon-8180-2s",
  description: "2 x Xeon Platinum 8180 (Skylake-SP, 28 cores), L3 not inclusive",
  ...skylakeServer,
  nodes: [0, 1].map((id) => ({ id, memoryBytes: 96 * 2 ** 30 })),
  cpus: regularCpus({ sockets: 2, nodesPerSocket: 1, coresPerNode: 28, coresPerL3: 28, threadsPerCore: 2 }),
  hertz: {
    value: 2.5e9,
    low: 2.5e9,
    high: 3.8e9,
    source: "recalled: Intel's product page, base 2.5 GHz, turbo 3.8 GHz",
    provisional: true,
  },
  l3: {
    bytes: 28 * 11 * 128 * 1024,
    ways: 11,
    inclusion: "victim",
    cycles: {
      value: 49,
      low: 44,
      high: 78,
      source: "19.5 ns on a Skylake server = 49 at 2.5 GHz; InstLatx64 77 to 79 on a 7800X",
    },
  },
  latencyNs: [
    [81.4, 131.1],
    [131.1, 81.3],
  ],
  latencySpread: 0.1,
  bandwidthMBs: [
    [108_060, 50_968],
    [50_968, 108_060],
  ],
  loadedLatency: {
    points: [
      { utilisation: 0.23, timesIdle: 1.13 },
      { utilisation: 0.39, timesIdle: 1.17 },
      { utilisation: 0.52, timesIdle: 1.24 },
      { utilisation: 0.74, timesIdle: 1.5 },
      { utilisation: 0.99, timesIdle: 2.79 },
      { utilisation: 1, timesIdle: 3.47 },
    ],
    source: `${calibration}: loaded latencies, 216.6 GB/s at most over both sockets; for links the same is assumed`,
  },
  distance: [
    [10, 21],
    [21, 10],
  ],
  cacheToCacheNs: {
    sameSocket: { value: 53.7, source: calibration },
    otherSocket: {
      value: 145,
      low: 113.9,
      high: 177.7,
      source: `${calibration}: 113.9 homed at the writer, 177.7 at the reader; between them`,
    },
  },
  interconnectSource: `${calibration}; distances 10 and 21 as numactl of such machines has them`,
  provisional: false,
  sources: [
    "Caches and TLBs: InstLatx64 CPUID dump of Xeon 8160; L3 28 x 1.375 MB, 11 ways, not inclusive",
    `Latency, bandwidth, cache to cache, loaded latency: ${calibration}`,
    "Hyper-threading: assumed on; the calibration's was off for some tests. Memory size: assumed, 96 GiB a node",
  ],
};
