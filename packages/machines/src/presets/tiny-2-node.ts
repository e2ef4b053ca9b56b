/**
 * A machine nobody could buy: two nodes, two CPUs each, caches that overflow after a few lines, round numbers. For
 * tests.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { inventedCore } from "../families/invented.js";
import { regularCpus } from "../topology.js";

export const tiny2Node: MachineSpec = {
  name: "tiny-2-node",
  description: "2 nodes x 512 MiB, 4 CPUs, tiny caches, round costs: invented, for tests",
  ...inventedCore,
  nodes: [
    { id: 0, memoryBytes: 512 * 2 ** 20, startAddress: 0 },
    { id: 1, memoryBytes: 512 * 2 ** 20, startAddress: 0x2000_0000 },
  ],
  cpus: regularCpus({ sockets: 2, nodesPerSocket: 1, coresPerNode: 2, coresPerL3: 2, threadsPerCore: 1 }),
  hertz: { value: 1e9, source: "invented for tests: one cycle is one nanosecond", provisional: true },
  l3: {
    bytes: 64 << 10,
    ways: 8,
    inclusion: "inclusive",
    cycles: { value: 40, source: "invented for tests", provisional: true },
  },
  latencyNs: [
    [100, 200],
    [200, 100],
  ],
  latencySpread: 0,
  bandwidthMBs: [
    [10_000, 5_000],
    [5_000, 10_000],
  ],
  distance: [
    [10, 20],
    [20, 10],
  ],
  cacheToCacheNs: {
    sameSocket: { value: 60, source: "invented for tests", provisional: true },
    otherSocket: { value: 150, source: "invented for tests", provisional: true },
  },
  interconnectSource: "invented for tests",
  provisional: true,
  sources: ["Everything on this machine is invented; only its layout of nodes and CPUs is that of the recorded guest"],
};
