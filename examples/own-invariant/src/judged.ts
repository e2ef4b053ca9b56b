/** A kernel on three nodes in a row, with copies on both ends, judged by kreplica's invariants and by ours. */
import type { Plugin } from "@kreplica/di";
import { checkInvariants, type InvariantReport, KERNEL_INVARIANTS } from "@kreplica/invariants";
import { singleCopy } from "@kreplica/mm-core";
import { testKernel } from "@kreplica/mm-core/testing";
import { PER_NODE, replicationBy } from "@kreplica/numa-replication";
import { NEAREST_TEXT } from "./nearest-text.js";

/** Node 1 is nearer to node 0, where the image lies, than to node 2. */
const DISTANCE = [
  [10, 16, 32],
  [16, 10, 24],
  [32, 24, 10],
];
const twoEnds = replicationBy({ ...PER_NODE, name: "two-ends", chooseHolders: () => [0, 2] });

/** @param plugins beside the kernel's own @param copies whether both ends hold a copy, or there is one for all */
export function judged(plugins: readonly Plugin[], copies = true): InvariantReport {
  const kernel = testKernel({
    nodes: [0, 1, 2].map((id) => ({ id, memoryMiB: 64, cpus: 1 })),
    distance: DISTANCE,
    view: copies ? twoEnds : singleCopy,
    plugins,
  });
  kernel.boot.run();
  return checkInvariants({ ...kernel, reached: kernel.boot.reached }, undefined, {
    rows: [...KERNEL_INVARIANTS, NEAREST_TEXT],
  });
}
