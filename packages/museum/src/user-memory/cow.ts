/** cow-stale-write: a page is shared while a CPU may still write to it through a translation of before. */
import { overlay } from "@kreplica/di";
import { Processes, SwitchMm } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { mmap, run, spawn, touch } from "../steps.js";

export const COW: Bug = {
  id: "cow-stale-write",
  room: "user memory and NUMA",
  sentence: "a page becomes copy-on-write while a CPU can still write to it",
  happened:
    "userfaultfd made pages read-only and put off the flush. A copy on write took place before it came: what another thread wrote meanwhile, through its old translation, went to the page that had just been copied, and was lost.",
  mended: "In 5.12 (2021) a fault on such a page flushes before it copies.",
  commits: [{ id: "6ce64428d620", subject: "mm/userfaultfd: fix memory corruption due to writeprotect" }],
  invariant: "G12",
  kernel: {},
  path: [spawn(), mmap(0, 1), run(2), touch(2, 0), { op: "fork", p: 0, cpu: 0 }],
  copies: { without: "G12", with: "G12", words: "The same: user pages have no copies." },
  overlays: [
    overlay(Processes, (processes, get) => {
      const switcher = get(SwitchMm);
      const fork = processes.fork.bind(processes);
      processes.fork = (...given) => {
        const flush = switcher.flush.bind(switcher);
        switcher.flush = () => undefined;
        const child = fork(...given);
        switcher.flush = flush;
        return child;
      };
      return processes;
    }),
  ],
};
