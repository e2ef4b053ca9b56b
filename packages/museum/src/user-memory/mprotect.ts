/** mprotect-pending-flush: mprotect returns while somebody else's flush of the range is still owed. */
import { overlay } from "@kreplica/di";
import { Processes, SwitchMm } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { mmap, readOnly, run, spawn, touch } from "../steps.js";

export const MPROTECT: Bug = {
  id: "mprotect-pending-flush",
  room: "user memory and NUMA",
  sentence: "mprotect returns while a flush of its range is still owed",
  happened:
    "Reclaim takes entries away and sends one flush for many of them later. mprotect that came in between found nothing to change, flushed nothing and returned: for a while a thread could still write to what had just been made read-only.",
  mended: "In 4.13 (August 2017) mprotect, munmap and others flush when the space has such a batch pending.",
  commits: [
    {
      id: "3ea277194daa",
      subject: "mm, mprotect: flush TLB if potentially racing with a parallel reclaim leaving stale TLB entries",
    },
  ],
  invariant: "G12",
  kernel: {},
  path: [spawn(), mmap(0, 1), run(2), touch(2, 0), readOnly(0, 1)],
  copies: { without: "G12", with: "G12", words: "The same: user pages have no copies." },
  overlays: [
    overlay(Processes, (processes, get) => {
      const switcher = get(SwitchMm);
      const mprotect = processes.mprotect.bind(processes);
      processes.mprotect = (...given) => {
        const flush = switcher.flush.bind(switcher);
        switcher.flush = () => undefined;
        const done = mprotect(...given);
        switcher.flush = flush;
        return done;
      };
      return processes;
    }),
  ],
};
