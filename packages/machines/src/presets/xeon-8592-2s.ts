/**
 * Two Xeon Platinum 8592+ (Emerald Rapids): Sapphire Rapids' cores under a much larger L3; five levels of page tables.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { sapphireRapids } from "../families/sapphire-rapids.js";
import { regularCpus } from "../topology.js";
import { xeon8480 } from "./xeon-8480-2s.js";

const asSapphire =
  "assumed: as two sockets of Sapphire Rapids (Intel MLC, posted in public, model not said: 113.0 167.9 / 169.6 106.4 ns); no output of Emerald Rapids was found";
const CORES = 64;

export const xeon8592: MachineSpec = {
  name: "xeon-8592-2s",
  description: "2 x Xeon Platinum 8592+ (Emerald Rapids, 64 cores, 320 MB of L3): takes --levels 5",
  ...sapphireRapids,
  nodes: [0, 1].map((id) => ({ id, memoryBytes: 256 * 2 ** 30 })),
  cpus: regularCpus({ sockets: 2, nodesPerSocket: 1, coresPerNode: CORES, coresPerL3: CORES, threadsPerCore: 2 }),
  hertz: {
    value: 1.9e9,
    low: 1.9e9,
    high: 3.9e9,
    source: "recalled: Intel's product page, base 1.9 GHz, turbo 3.9 GHz",
    provisional: true,
  },
  l3: {
    bytes: CORES * 5 * 2 ** 20,
    ways: 20,
    inclusion: "victim",
    cycles: {
      value: 70,
      low: 50,
      high: 130,
      source: "assumed: as Sapphire Rapids; 5 MB a core recalled, its 20 ways assumed",
      provisional: true,
    },
  },
  latencyNs: xeon8480.latencyNs,
  latencySpread: 0.2,
  bandwidthMBs: xeon8480.bandwidthMBs,
  distance: [
    [10, 21],
    [21, 10],
  ],
  cacheToCacheNs: xeon8480.cacheToCacheNs,
  interconnectSource: asSapphire,
  provisional: true,
  sources: [
    "Caches of a core, TLBs: InstLatx64 CPUID dump; Emerald Rapids reports the same as Sapphire Rapids but 46 physical bits, here as Sapphire Rapids'",
    `Latency, bandwidth, cache to cache: ${asSapphire}`,
    "Cores, clocks, size of L3: recalled, Intel's product page of the Xeon Platinum 8592+. Memory size: assumed, 256 GiB a node",
  ],
};
