/** offline-keeps-mm: a CPU goes off line with a process's tables loaded. */
import { overlay } from "@kreplica/di";
import { Processes, SwitchMm } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { switcherBooks } from "../lazy-tlb/switcher-books.js";
import { run, spawn } from "../steps.js";

export const OFFLINE: Bug = {
  id: "offline-keeps-mm",
  room: "hotplug",
  sentence: "a CPU goes off line with a process's tables loaded, and nobody tells it of their end",
  happened:
    "The idle task of a CPU that goes away borrows the last process's tables. When it let go of them after the CPU had left RCU's sight, and when it did not let go at all, the tables were freed under it or kept for ever.",
  mended: "In 5.8 (2020) the CPU switches to init_mm on its way out, and another one drops what it held.",
  commits: [{ id: "bf2c59fce407", subject: "sched/core: Fix illegal RCU from offline CPUs" }],
  invariant: "B11",
  kernel: {},
  path: [spawn(), run(2), { op: "offline", cpu: 2 }, { op: "exit", p: 0 }],
  copies: { without: "B11", with: "B11", words: "The same." },
  overlays: [
    overlay(Processes, (processes, get) => {
      const switcher = get(SwitchMm);
      const offline = processes.offline.bind(processes);
      processes.offline = (cpu) => {
        const leave = switcher.leave.bind(switcher);
        switcher.leave = () => {
          const book = switcherBooks(switcher).cpus.get(cpu);
          if (book) book.space = undefined;
        };
        offline(cpu);
        switcher.leave = leave;
      };
      return processes;
    }),
  ],
};
