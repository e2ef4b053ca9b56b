/** zapped-pmd-range: a flush of a whole 2 MiB does not say that it took a table away. */
import { overlay } from "@kreplica/di";
import { SwitchMm } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { idle, mmap, munmap, run, spawn, touch } from "../steps.js";

/** Pages that one table maps. */
const TABLE = 512;

export const ZAPPED_TABLE: Bug = {
  id: "zapped-pmd-range",
  room: "lazy TLB and PCIDs",
  sentence: "a flush over a whole 2 MiB does not say that a table went with it",
  happened:
    "Code that empties an entry of a middle table, and with it takes a whole table away, flushed the range as if only pages had gone. CPUs in lazy mode are spared such flushes: they kept a paging-structure entry for a table that was free again (CVE-2025-22045, reported by Jann Horn).",
  mended: "In 6.15 (2025) a range flush by steps larger than a page says that tables are freed.",
  commits: [{ id: "3ef938c35035", subject: "x86/mm: Fix flush_tlb_range() when used for zapping normal PMDs" }],
  invariant: "G13",
  kernel: {},
  path: [spawn(), mmap(0, TABLE), run(2), touch(2, 0), idle(2), munmap(0, TABLE)],
  copies: { without: "G13", with: "G13", words: "The same: the table is the process's, and has no copy." },
  overlays: [
    overlay(SwitchMm, (switcher) => {
      const flush = switcher.flush.bind(switcher);
      switcher.flush = (space, range, freed, from) => {
        flush(space, range, freed && range.pages % TABLE !== 0, from);
      };
      return switcher;
    }),
  ],
};
