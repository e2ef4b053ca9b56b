/** lazy-missed-flush: a CPU that missed a flush counts as up to date after the next. */
import { overlay } from "@kreplica/di";
import { SwitchMm } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { idle, mmap, munmap, run, spawn, touch } from "../steps.js";
import { switcherBooks } from "./switcher-books.js";

export const MISSED_FLUSH: Bug = {
  id: "lazy-missed-flush",
  room: "lazy TLB and PCIDs",
  sentence: "a CPU that missed a flush while it was lazy counts as up to date after the next one",
  happened:
    "A CPU in lazy mode is told of some flushes and not of others. Before flushes had numbers, one that came to such a CPU was taken for all it had to forget: what an earlier flush should have removed stayed, and a process went on reading a page that was gone, or another's.",
  mended:
    "In 4.13 and 4.14 (2017) each flush of an address space got a number, and each CPU remembers up to which it is current: a range is enough for a CPU exactly one behind, any other flushes everything.",
  commits: [
    { id: "94b1b03b519b", subject: "x86/mm: Rework lazy TLB mode and TLB freshness tracking" },
    { id: "b0579ade7cd8", subject: "x86/mm: Track the TLB's tlb_gen and update the flushing algorithm" },
  ],
  invariant: "G12",
  kernel: {},
  path: [
    spawn(),
    mmap(0, 1),
    mmap(2, 1),
    run(2),
    touch(2, 0),
    touch(2, 2),
    idle(2),
    munmap(2, 1),
    munmap(0, 1),
    run(2),
  ],
  copies: {
    without: "G12",
    with: "G12",
    words: "The same: which flush a CPU missed does not depend on whose PGD it walks.",
  },
  overlays: [
    overlay(SwitchMm, (switcher) => {
      const { cpus, generations } = switcherBooks(switcher);
      const flush = switcher.flush.bind(switcher);
      switcher.flush = (space, range, freedTables, from) => {
        if (freedTables)
          for (const tlb of cpus.values())
            if (tlb.space === space) tlb.generations[tlb.slot] = generations.get(space) ?? 1;
        flush(space, range, freedTables, from);
      };
      return switcher;
    }),
  ],
};
