/** huge-vmap-flush: a large mapping takes the place of a table, and CPUs still know the way to it. */
import { overlay } from "@kreplica/di";
import { CpuState, KernelTables } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { run, spawn } from "../steps.js";

export const HUGE: Bug = {
  id: "huge-vmap-flush",
  room: "vmalloc",
  sentence: "an empty table makes way for a large mapping and is freed without a flush",
  happened:
    "Since 4.1 ioremap may put a large page where small ones were. The table that had held them was leaked at first, then freed without a flush: paging-structure caches led into it after it had become something else.",
  mended: "In 4.19 (August 2018) each table is unlinked, flushed and then freed.",
  commits: [
    { id: "5e0fb5df2ee8", subject: "x86/mm: Add TLB purge to free pmd/pte page interfaces" },
    { id: "28ee90fe6048", subject: "x86/mm: implement free pmd/pte page interfaces" },
  ],
  invariant: "G13",
  kernel: {},
  path: [
    spawn(2),
    spawn(2),
    run(2),
    { op: "area", node: 0, pages: 1, where: "window behind", base: "local" },
    { op: "arearead", area: 0, cpu: 2, page: 0 },
    run(2, 1),
    { op: "areafree", area: 0 },
    { op: "areapurge" },
    { op: "area", node: 0, pages: 1, where: "window large", base: "local" },
  ],
  copies: {
    without: "G13",
    with: "G13",
    words: "Worse by their number: in the window each holder has a table of its own to free.",
  },
  overlays: [
    overlay(KernelTables, (tables, get) => {
      const cpus = get(CpuState);
      const makeRoom = tables.makeRoomForLarge.bind(tables);
      tables.makeRoomForLarge = (...range) => {
        const flushAll = cpus.flushAll.bind(cpus);
        cpus.flushAll = () => undefined;
        const room = makeRoom(...range);
        cpus.flushAll = flushAll;
        return room;
      };
      return tables;
    }),
  ],
};
