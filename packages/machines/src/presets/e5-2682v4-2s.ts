/** Two Xeon E5-2682 v4 (Broadwell-EP): the last server generation whose L3 includes what L1 and L2 hold. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { broadwellEp } from "../families/broadwell-ep.js";
import { regularCpus } from "../topology.js";

const checker = "Intel MLC on 2x E5-2682 v4, as posted in public: 85.0 136.3 / 137.2 84.2 ns";
const haswell = 'FD.io CSIT, "Calibration Data - Haswell" (2x E5-2699 v3)';

export const e52682v4: MachineSpec = {
  name: "e5-2682v4-2s",
  description: "2 x Xeon E5-2682 v4 (Broadwell-EP, 16 cores), inclusive L3",
  ...broadwellEp,
  nodes: [0, 1].map((id) => ({ id, memoryBytes: 64 * 2 ** 30 })),
  cpus: regularCpus({ sockets: 2, nodesPerSocket: 1, coresPerNode: 16, coresPerL3: 16, threadsPerCore: 2 }),
  hertz: {
    value: 2.5e9,
    low: 2.5e9,
    high: 3.0e9,
    source: "recalled: base 2.5 GHz, turbo 3.0 GHz; Intel lists no such part, it is made for one customer",
    provisional: true,
  },
  l3: {
    bytes: 40 << 20,
    ways: 20,
    inclusion: "inclusive",
    cycles: {
      value: 53,
      low: 50,
      high: 65,
      source: "assumed: Haswell-EP's 50 to 55 (InstLatx64, 2x E5-2660 v3), more for a larger ring",
      provisional: true,
    },
  },
  latencyNs: [
    [85.0, 136.3],
    [137.2, 84.2],
  ],
  latencySpread: 0.15,
  bandwidthMBs: [
    [65_000, 30_265],
    [30_265, 65_000],
  ],
  distance: [
    [10, 21],
    [21, 10],
  ],
  cacheToCacheNs: {
    sameSocket: { value: 42.1, low: 42, high: 50, source: `assumed: as ${haswell}`, provisional: true },
    otherSocket: { value: 107.5, low: 90, high: 130, source: `assumed: as ${haswell}`, provisional: true },
  },
  interconnectSource: `${checker}; bandwidth assumed: 85 % of four channels of DDR4-2400 (76,800 MB/s), as Haswell reaches of its own, and remote Haswell's, whose links are as fast; distances 10 and 21 as two-socket Xeons report them`,
  provisional: true,
  sources: [
    "Caches, TLBs: InstLatx64 CPUID dump of E5-2620 v4: L3 2.5 MB a core, 20 ways, inclusive",
    `Latency: ${checker}`,
    "Memory size: assumed, 64 GiB a node",
  ],
};
