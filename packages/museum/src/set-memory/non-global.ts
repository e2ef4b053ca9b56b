/** non-global-other-pcid: a right is taken away and kept under a PCID that is not loaded. */
import { overlay } from "@kreplica/di";
import { CpuState } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";

const use = (pcid: number) => ({ op: "pcidmem", cpu: 2, page: 0, kind: "write", pcid }) as const;

export const NON_GLOBAL: Bug = {
  id: "non-global-other-pcid",
  room: "set_memory",
  sentence: "a right is taken from a kernel page that is not global, and kept under another PCID",
  happened:
    "Kernel pages are flushed by INVLPG, which reaches global entries and those of the current PCID. A page that is not global may be cached under every PCID that ran on the CPU: under KPTI, where hardly anything is global, a change of the kernel's own tables reached one of them.",
  mended:
    "In 4.15 (December 2017) KPTI marks all other PCIDs to be flushed at their next use. Without KPTI Linux goes on relying on the G bit.",
  commits: [{ id: "2ea907c4fe7b", subject: "x86/mm: Allow flushing for future ASID switches" }],
  invariant: "G12",
  kernel: {},
  path: [
    { op: "setmem", change: "nonglobal", page: 0, pages: 1 },
    use(0),
    { op: "setmem", change: "ro", page: 0, pages: 1 },
  ],
  copies: { without: "G12", with: "G12", words: "The same: what a CPU keeps under a PCID is of its own root." },
  overlays: [
    overlay(CpuState, (cpus) => {
      const flushRanges = cpus.flushRanges.bind(cpus);
      cpus.flushRanges = (ranges) => {
        flushRanges(ranges, false);
      };
      return cpus;
    }),
  ],
};
