/**
 * A machine that no preset is: the two sockets of an E5-2690 v3, and behind the second one a node of memory without
 * CPUs, as a memory expander on CXL or a node whose CPUs are switched off appears to the kernel.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { e52690v3 } from "@kreplica/machines";

/** All latencies of the expander are assumed: a public figure for "the same on every machine" there is not. */
export const expander: MachineSpec = {
  ...e52690v3,
  name: "e5-2690v3-expander",
  description: "2 x Xeon E5-2690 v3 and a node of memory without CPUs",
  nodes: [...e52690v3.nodes, { id: 2, memoryBytes: 64 * 2 ** 30 }],
  latencyNs: [
    [101.0, 132.0, 330],
    [141.2, 98.8, 250],
    [330, 250, 250],
  ],
  bandwidthMBs: [
    [57_936, 30_265, 9_000],
    [30_265, 57_936, 22_000],
    [9_000, 22_000, 22_000],
  ],
  distance: [
    [10, 21, 33],
    [21, 10, 25],
    [33, 25, 10],
  ],
  interconnectSource: "FD.io CSIT for the two sockets, see the preset; the expander's rows and columns are assumed",
  provisional: true,
};
