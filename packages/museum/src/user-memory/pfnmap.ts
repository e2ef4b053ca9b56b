/** unmap-no-flush: what munmap took away is freed before anybody has forgotten it. */
import { overlay } from "@kreplica/di";
import { Processes, SwitchMm } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { mmap, munmap, run, spawn, touch } from "../steps.js";

export const PFNMAP: Bug = {
  id: "unmap-late-flush",
  room: "user memory and NUMA",
  sentence: "munmap gives pages up before other CPUs have forgotten them",
  happened:
    "Drivers map pages that the kernel does not count, and free them once no area maps them any more. munmap took areas off the file's list before it flushed: a driver saw none left and freed pages that a CPU could still reach (CVE-2022-39188, Jann Horn).",
  mended: "In 5.19 (July 2022) such areas are flushed one by one, before they leave the list.",
  commits: [{ id: "b67fbebd4cf9", subject: "mmu_gather: Force tlb-flush VM_PFNMAP vmas" }],
  invariant: "G12",
  kernel: {},
  path: [spawn(), mmap(0, 2), run(2), touch(2, 0), touch(2, 1), munmap(0, 1)],
  copies: { without: "G12", with: "G12", words: "The same: user pages have no copies." },
  overlays: [
    overlay(Processes, (processes, get) => {
      const switcher = get(SwitchMm);
      const unmap = processes.munmap.bind(processes);
      processes.munmap = (...given) => {
        const flush = switcher.flush.bind(switcher);
        switcher.flush = () => undefined;
        const done = unmap(...given);
        switcher.flush = flush;
        return done;
      };
      return processes;
    }),
  ],
};
