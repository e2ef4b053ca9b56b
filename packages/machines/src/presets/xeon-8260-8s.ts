/**
 * Eight Xeon Platinum 8260 with two nodes a socket (SNC2), sixteen nodes: the machine with two hops, and with the
 * thinnest sources.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { skylakeServer } from "../families/skylake-server.js";
import { regularCpus, table } from "../topology.js";

/**
 * UPI links between sockets 0..7. Each has three, so four of the seven others are two hops away. Which ones, no source
 * says: assumed is a ring with each socket also linked to the opposite one, a layout in which two hops always suffice.
 */
function hops(a: number, b: number): 0 | 1 | 2 {
  const around = (b - a + 8) % 8;
  return around === 0 ? 0 : around === 1 || around === 7 || around === 4 ? 1 : 2;
}

/** One figure a relation: same node, same socket, one hop, two hops. */
const by = (sameNode: number, sameSocket: number, oneHop: number, twoHops: number): number[][] =>
  table(16, (i, j) => (i === j ? sameNode : [sameSocket, oneHop, twoHops][hops(i >> 1, j >> 1)]!));

const snc2 =
  "Intel MLC on 2x Xeon 8269CY with SNC2: 73.5 to 78.5 same node, 81.6 to 82.1 same socket, 129.8 to 137.7 ns other socket";

export const xeon8260: MachineSpec = {
  name: "xeon-8260-8s",
  description: "8 x Xeon Platinum 8260 (Cascade Lake, 24 cores, SNC2), 16 nodes, up to two hops",
  ...skylakeServer,
  nodes: Array.from({ length: 16 }, (_, id) => ({ id, memoryBytes: 96 * 2 ** 30 })),
  cpus: regularCpus({ sockets: 8, nodesPerSocket: 2, coresPerNode: 12, coresPerL3: 12, threadsPerCore: 1 }),
  hertz: {
    value: 2.4e9,
    low: 2.4e9,
    high: 3.9e9,
    source: "recalled: Intel's product page, base 2.4 GHz, turbo 3.9 GHz",
    provisional: true,
  },
  l3: {
    bytes: 13 * 11 * 128 * 1024,
    ways: 11,
    inclusion: "victim",
    cycles: {
      value: 47,
      low: 43,
      high: 78,
      source: "19.5 ns on a Skylake server (17.8 with SNC) = 47 (43) at 2.4 GHz; InstLatx64 77 to 79 on a 7800X",
    },
  },
  latencyNs: by(76.8, 81.8, 133.8, 200),
  latencySpread: 0.2,
  bandwidthMBs: by(58_909, 59_066, 50_514, 25_000),
  distance: by(10, 11, 21, 31),
  cacheToCacheNs: {
    sameSocket: {
      value: 53.7,
      low: 50,
      high: 65,
      source: "FD.io CSIT, calibration data of 2x Xeon 8180 (s11-t31), without SNC: any two cores of a socket",
      provisional: true,
    },
    otherSocket: {
      value: 145,
      low: 113.9,
      high: 250,
      source: "FD.io CSIT, 2x Xeon 8180: 113.9 and 177.7; above that for two hops (assumed)",
      provisional: true,
    },
  },
  interconnectSource: `${snc2}, means, for one socket and one hop; two hops (200 ns, 25,000 MB/s, distance 31) are assumed`,
  provisional: true,
  sources: [
    "Nodes and CPUs: lscpu of such a machine, 16 nodes and 192 CPUs, no hyper-threading; nothing else about it was found",
    "Caches and TLBs: InstLatx64 CPUID dump of Xeon 8160; L3 35.75 MB a socket, half of it a node under SNC2",
    `Latency and bandwidth within two hops: ${snc2}; row of bandwidths 58,909 59,066 50,548 50,480 MB/s`,
    "Which sockets are neighbours, and everything about two hops: assumed",
    "Memory size: assumed, 96 GiB a node",
  ],
};
