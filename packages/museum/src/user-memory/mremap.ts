/** mremap-flush: pages are moved and their old place is not flushed. */
import { overlay } from "@kreplica/di";
import { Processes, SwitchMm } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { mmap, run, spawn, touch } from "../steps.js";

export const MREMAP: Bug = {
  id: "mremap-flush",
  room: "user memory and NUMA",
  sentence: "mremap moves pages without flushing where they were before they can be freed",
  happened:
    "mremap moved entries and flushed afterwards, without the lock under which others free pages. Another thread could truncate or unmap meanwhile: the page was freed and reused while a CPU still wrote to it through the old address (CVE-2018-18281, Jann Horn).",
  mended: "In 4.19 (October 2018) the flush comes before the page-table locks are dropped.",
  commits: [{ id: "eb66ae030829", subject: "mremap: properly flush TLB before releasing the page" }],
  invariant: "G12",
  kernel: {},
  path: [spawn(), mmap(0, 1), run(2), touch(2, 0), { op: "mremap", p: 0, cpu: 0, page: 0, pages: 1, to: 12 }],
  copies: { without: "G12", with: "G12", words: "The same: user pages have no copies." },
  overlays: [
    overlay(Processes, (processes, get) => {
      const switcher = get(SwitchMm);
      const mremap = processes.mremap.bind(processes);
      processes.mremap = (...given) => {
        const flush = switcher.flush.bind(switcher);
        switcher.flush = () => undefined;
        const moved = mremap(...given);
        switcher.flush = flush;
        return moved;
      };
      return processes;
    }),
  ],
};
