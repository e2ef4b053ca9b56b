/**
 * Two Xeon E5-2690 v3: the machine nearest to the one on which the series was measured ("E5-2690", 2 nodes x 12 cores).
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { haswellEp } from "../families/haswell-ep.js";
import { regularCpus } from "../topology.js";

const calibration = 'FD.io CSIT, "Calibration Data - Haswell" (t1-sut1: 2x E5-2699 v3, DDR4-2133, Intel MLC)';

/**
 * Latency: the only full matrix that was read, not recalled, is CSIT's of the 18-core part of the same generation with
 * the same memory. It lies between what else is known: 85.4 ns local (InstLatx64, 2x E5-2660 v3, prefetch-free, TLB
 * hit), and for the 12-core E5-2680 v3 local 96.4 and remote 146 ns with source snoop, local 108 with home snoop (Molka
 * et al. 2015, recalled). Against the matrix those are -15 % to +8 % local and +7 % remote: hence a spread of 15 %.
 */
export const e52690v3: MachineSpec = {
  name: "e5-2690v3-2s",
  description: "2 x Xeon E5-2690 v3 (Haswell-EP, 12 cores): the series' machine, nearest we know",
  ...haswellEp,
  nodes: [
    { id: 0, memoryBytes: 32 * 2 ** 30 },
    { id: 1, memoryBytes: 32 * 2 ** 30 },
  ],
  cpus: regularCpus({ sockets: 2, nodesPerSocket: 1, coresPerNode: 12, coresPerL3: 12, threadsPerCore: 2 }),
  hertz: {
    value: 2.6e9,
    low: 2.6e9,
    high: 3.5e9,
    source:
      "lscpu of such a machine, LKML 20210506165328.GO2633526@linux.vnet.ibm.com: 2.6 GHz nominal, 3.5 GHz at most",
  },
  l3: {
    bytes: 30 << 20,
    ways: 20,
    inclusion: "inclusive",
    cycles: {
      value: 53,
      low: 50,
      high: 58,
      source: "InstLatx64, 2x E5-2660 v3 (10 cores): 50 to 55; Molka et al. 2015: 21.2 ns = 55 at 2.6 GHz (recalled)",
    },
  },
  latencyNs: [
    [101.0, 132.0],
    [141.2, 98.8],
  ],
  latencySpread: 0.15,
  bandwidthMBs: [
    [57_936, 30_265],
    [30_265, 57_936],
  ],
  distance: [
    [10, 21],
    [21, 10],
  ],
  cacheToCacheNs: {
    sameSocket: { value: 42.1, low: 42.1, high: 47.0, source: `${calibration}: local L2 to L2, hit and modified` },
    otherSocket: {
      value: 107.5,
      low: 90,
      high: 125,
      source: `${calibration}: 107 to 108, remote modified line; the range is that of the latencies, about 15 %`,
    },
  },
  interconnectSource: `${calibration}; distances 10 and 21 as two-socket Xeons report them`,
  provisional: false,
  sources: [
    "Topology, cache totals and clocks: lscpu of the same box, LKML 20210506165328.GO2633526@linux.vnet.ibm.com (S. Dronamraju): CPUs 0-11,24-35 and 12-23,36-47, L3 60 MiB in all",
    "L3 ways and inclusion: InstLatx64 CPUID dumps of Haswell-EP (2.5 MB a core, 20 ways, inclusive)",
    `Latency, bandwidth, cache to cache: ${calibration}`,
    "Memory size: assumed, 32 GiB a node; the series does not say",
    "Snoop mode of the series' machine is not known; home snoop and cluster-on-die would change remote latency within the spread or beyond",
  ],
};
