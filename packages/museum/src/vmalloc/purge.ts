/** vmap-no-purge: addresses and pages come back before anybody has forgotten them. */
import { overlay } from "@kreplica/di";
import { CpuState } from "@kreplica/mm-core/api";
import { Vmalloc } from "@kreplica/vmalloc/api";
import type { Bug } from "../bug.js";
import { run, spawn } from "../steps.js";

export const PURGE: Bug = {
  id: "vmap-stale-purge",
  room: "vmalloc",
  sentence: "what was unmapped lazily comes back into use without the flush it was waiting for",
  happened:
    "vfree unmaps at once and flushes later, for many at a time. A per-CPU block that was used up had left the list that the flush goes through: its dirty part was not flushed when vm_unmap_aliases promised that all was.",
  mended: "In 6.5 (June 2023) blocks are purged and flushed wherever they hang.",
  commits: [{ id: "fc1e0d980037", subject: "mm/vmalloc: prevent stale TLBs in fully utilized blocks" }],
  invariant: "G12",
  kernel: {},
  path: [
    spawn(2),
    run(2),
    { op: "area", node: 0, pages: 1, where: "vmalloc", base: "local" },
    { op: "arearead", area: 0, cpu: 2, page: 0 },
    { op: "areafree", area: 0 },
    { op: "areapurge" },
  ],
  copies: { without: "G12", with: "G12", words: "The same: outside the window all nodes share the tables." },
  overlays: [
    overlay(Vmalloc, (vmalloc, get) => {
      const cpus = get(CpuState);
      const purge = vmalloc.purge.bind(vmalloc);
      vmalloc.purge = () => {
        const [ranges, all] = [cpus.flushRanges.bind(cpus), cpus.flushAll.bind(cpus)];
        cpus.flushRanges = cpus.flushAll = () => undefined;
        purge();
        [cpus.flushRanges, cpus.flushAll] = [ranges, all];
      };
      return vmalloc;
    }),
  ],
};
