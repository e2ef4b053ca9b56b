/** ldt-fork: a child runs without the descriptors its parent set. */
import { overlay } from "@kreplica/di";
import { PageAllocator, Processes } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { spawn } from "../steps.js";

export const LDT_FORK: Bug = {
  id: "ldt-fork",
  room: "KPTI and LDT",
  sentence: "a child runs without the descriptors that its parent had set",
  happened:
    "Not a bug of a Linux release, but what this model had until reports about LDTs were played on it: a copy of the space was made and its LDT was not, so that segment registers of the child named descriptors that were not there.",
  mended: "fork copies the table and maps it in the child's space; exec drops it.",
  commits: [],
  invariant: "F7",
  kernel: {},
  path: [spawn(), { op: "ldt", p: 0, cpu: 0, entry: 0, value: 7 }, { op: "fork", p: 0, cpu: 0 }],
  copies: { without: "F7", with: "F7", words: "The same: descriptors belong to the process." },
  overlays: [
    overlay(Processes, (processes, get) => {
      const allocator = get(PageAllocator);
      const fork = processes.fork.bind(processes);
      processes.fork = (...given) => {
        const child = fork(...given);
        if (child?.ldt) {
          child.space.unmapLdt(child.ldt.place);
          for (const frame of child.ldt.frames) allocator.free(frame, 0);
          child.ldt = undefined;
        }
        return child;
      };
      return processes;
    }),
  ],
};
