/**
 * Two Xeon Platinum 8480+ (Sapphire Rapids): the machine with 57-bit addresses, on which a kernel can have five levels
 * of page tables.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { sapphireRapids } from "../families/sapphire-rapids.js";
import { regularCpus } from "../topology.js";

const checker =
  "Intel MLC on two sockets of Sapphire Rapids, as posted in public (which model is not said): 113.0 167.9 / 169.6 106.4 ns, 112,664 and 63,137 MB/s";
const CORES = 56;

export const xeon8480: MachineSpec = {
  name: "xeon-8480-2s",
  description: "2 x Xeon Platinum 8480+ (Sapphire Rapids, 56 cores): takes --levels 5",
  ...sapphireRapids,
  nodes: [0, 1].map((id) => ({ id, memoryBytes: 256 * 2 ** 30 })),
  cpus: regularCpus({ sockets: 2, nodesPerSocket: 1, coresPerNode: CORES, coresPerL3: CORES, threadsPerCore: 2 }),
  hertz: {
    value: 2.0e9,
    low: 2.0e9,
    high: 3.8e9,
    source: "recalled: Intel's product page, base 2.0 GHz, turbo 3.8 GHz",
    provisional: true,
  },
  l3: {
    bytes: CORES * 15 * 128 * 1024,
    ways: 15,
    inclusion: "victim",
    cycles: {
      value: 70,
      low: 50,
      high: 120,
      source:
        "assumed: no measurement of this model was read; 25 to 60 ns at 2.0 GHz, a mesh larger than Skylake's 19.5 ns one",
      provisional: true,
    },
  },
  latencyNs: [
    [113.0, 167.9],
    [169.6, 106.4],
  ],
  latencySpread: 0.15,
  bandwidthMBs: [
    [112_664, 63_137],
    [63_137, 112_664],
  ],
  distance: [
    [10, 21],
    [21, 10],
  ],
  cacheToCacheNs: {
    sameSocket: {
      value: 75,
      low: 55,
      high: 110,
      source: "assumed: between Skylake's 53.7 ns (FD.io CSIT, 2x Xeon 8180) and this machine's own memory",
      provisional: true,
    },
    otherSocket: {
      value: 170,
      low: 120,
      high: 260,
      source: "assumed: as the remote memory's latency, with a wide range",
      provisional: true,
    },
  },
  interconnectSource: `${checker}; taken for the model with the most such cores sold in pairs (assumed); distances 10 and 21 as two-socket Xeons report them`,
  provisional: true,
  sources: [
    "Caches, TLBs and address widths: InstLatx64 CPUID dump of Sapphire Rapids: L2 2 MB and 16 ways, L3 1.875 MB a core and 15 ways, not inclusive (recalled), 52 and 57 bits",
    `Latency and bandwidth: ${checker}`,
    "Cores, clocks and hyper-threading: recalled, Intel's product page of the Xeon Platinum 8480+",
    "Memory size: assumed, 256 GiB a node",
  ],
};
