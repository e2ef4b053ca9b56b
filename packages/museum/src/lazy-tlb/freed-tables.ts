/** lazy-freed-tables: a lazy CPU is not told that tables are freed, and goes on walking them ahead. */
import { overlay } from "@kreplica/di";
import { SwitchMm } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { idle, mmap, munmap, run, spawn, touch } from "../steps.js";

export const FREED_TABLES: Bug = {
  id: "lazy-freed-tables",
  room: "lazy TLB and PCIDs",
  sentence: "a CPU in lazy mode is not told that page tables are freed",
  happened:
    "4.14 left a lazy CPU's tables loaded and sent it no flush. It uses no user page, but it walks ahead: a table that was freed and used for something else was read as a table, and processors that found nonsense in their paging-structure caches raised machine checks. 4.19 made lazy mode lazier once more, and parts of that had to be taken back.",
  mended:
    "Late in 4.14 (October 2017) a CPU that becomes lazy leaves the tables, or is flushed like any other; the second attempt tells lazy CPUs of freed tables, and of nothing else.",
  commits: [{ id: "b956575bed91", subject: "x86/mm: Flush more aggressively in lazy TLB mode" }],
  invariant: "G13",
  kernel: {},
  path: [spawn(), mmap(0, 1), run(2), touch(2, 0), idle(2), munmap(0, 1)],
  copies: { without: "G13", with: "G13", words: "The same: who holds copies decides nothing about who is told." },
  overlays: [
    overlay(SwitchMm, (switcher) => {
      const flush = switcher.flush.bind(switcher);
      switcher.flush = (space, range, _freed, from) => {
        flush(space, range, false, from);
      };
      return switcher;
    }),
  ],
};
