/** kpti-kernel-pcid-only: a flush under KPTI reaches the kernel's PCID and not the user's. */
import { overlay } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86/api";
import type { Bug } from "../bug.js";
import { mmap, readOnly, run, spawn, touch } from "../steps.js";

export const ONE_PCID: Bug = {
  id: "kpti-kernel-pcid-only",
  room: "lazy TLB and PCIDs",
  sentence: "under KPTI a flush reaches the PCID of the kernel's half alone",
  happened:
    "With KPTI one process has two PCIDs on a CPU, one for each half of its tables. INVLPG reaches the current one. Until each flush was carried to the other PCID as well, user mode went on with what it had cached; the first versions of KPTI therefore flushed everything at each crossing.",
  mended:
    "In 4.15 (December 2017) the user's PCID is flushed with INVPCID, or marked to be flushed before user mode runs again.",
  commits: [
    { id: "6fd166aae78c", subject: "x86/mm: Use/Fix PCID to optimize user/kernel switches" },
    { id: "2ea907c4fe7b", subject: "x86/mm: Allow flushing for future ASID switches" },
  ],
  invariant: "G12",
  kernel: { pti: true },
  path: [spawn(), mmap(0, 1), run(2), touch(2, 0), readOnly(0, 1)],
  copies: { without: "G12", with: "G12", words: "The same: each node's pair has two PCIDs as one pair has." },
  overlays: [
    overlay(Machine, (machine) => {
      for (const id of machine.cpuIds) machine.cpu(id).invpcid = () => undefined;
      return machine;
    }),
  ],
};
