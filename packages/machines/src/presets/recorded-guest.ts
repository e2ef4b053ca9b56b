/**
 * The guest in which the traces and tables were recorded, on Haswell cores: node 1 begins at 512 MiB, so recorded
 * addresses fit.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { regularCpus } from "../topology.js";
import { e52690v3 } from "./e5-2690v3-2s.js";

export const recordedGuest: MachineSpec = {
  ...e52690v3,
  name: "recorded-guest",
  description: "2 nodes x 512 MiB, CPUs 0,1 and 2,3: the recordings' guest, on E5-2690 v3 caches",
  nodes: [
    { id: 0, memoryBytes: 512 * 2 ** 20, startAddress: 0 },
    { id: 1, memoryBytes: 512 * 2 ** 20, startAddress: 0x2000_0000 },
  ],
  cpus: regularCpus({ sockets: 2, nodesPerSocket: 1, coresPerNode: 2, coresPerL3: 2, threadsPerCore: 1 }),
  provisional: true,
  sources: [
    "Nodes, CPUs, addresses and distances: the recordings' own description (QEMU 7.2, 2 x 512 MiB, 4 CPUs, SLIT 10/21)",
    "Caches, TLBs, latencies: the emulator has none; taken from e5-2690v3-2s, whose sources follow",
    ...e52690v3.sources,
  ],
};
