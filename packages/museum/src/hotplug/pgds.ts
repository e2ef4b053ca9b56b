/** hotplug-pgds: memory that comes later is not in the tables of those who were there before. */
import { overlay } from "@kreplica/di";
import { AddressSpaces, eachNewSpace } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { spawn } from "../steps.js";

export const PGDS: Bug = {
  id: "hotplug-pgds",
  room: "hotplug",
  sentence: "memory that comes later takes a top-level slot that processes alive never get",
  happened:
    "A direct map that grows past 512 GiB takes another entry of the PGD. init_mm got it, processes that were there did not: the kernel, running in one of them, faulted on memory it had just been given.",
  mended: "In 2.6.37 (2010) new entries of the direct map and of vmemmap are copied to every PGD.",
  commits: [
    { id: "9b861528a801", subject: "x86-64, mem: Update all PGDs for direct mapping and vmemmap mapping changes" },
  ],
  invariant: "F2",
  kernel: { nodes: 3, configuration: "late memory" },
  path: [spawn(), { op: "plug", node: 2 }],
  copies: {
    without: "F2",
    with: "F2",
    words:
      "Worse: PGDs of nodes are on no list of their own; the series forgets init_mm's own clones as well (its D10-growth).",
  },
  overlays: [
    overlay(AddressSpaces, (spaces) =>
      eachNewSpace(spaces, (space) => {
        space.followKernel = () => undefined;
      }),
    ),
  ],
};
