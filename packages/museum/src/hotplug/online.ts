/** online-stale-tlb: a CPU comes back with the translations it went with. */
import { overlay } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86/api";
import { Processes } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";

export const ONLINE: Bug = {
  id: "online-stale-tlb",
  room: "hotplug",
  sentence: "a CPU comes back on line with the global translations it went with",
  happened:
    "A CPU that is off line is sent no flush. If it comes back from sleep rather than from reset, its TLB may still hold what it had, global entries among them, which no load of CR3 takes away.",
  mended: "CPUs that come up flush everything, global entries too, before they run (cpu_init).",
  commits: [],
  invariant: "G12",
  kernel: {},
  path: [
    { op: "kmap", page: 0, perNode: false },
    { op: "kread", page: 0, cpu: 2 },
    { op: "offline", cpu: 2 },
    { op: "kunmap", page: 0 },
    { op: "online", cpu: 2 },
  ],
  copies: {
    without: "G12",
    with: "G12",
    words: "The same; with a frame a node, what stays leads to that node's copy.",
  },
  overlays: [
    overlay(Processes, (processes, get) => {
      const machine = get(Machine);
      const online = processes.online.bind(processes);
      processes.online = (cpu) => {
        const core = machine.cpu(cpu);
        const flush = core.flushTranslations.bind(core);
        core.flushTranslations = () => undefined;
        online(cpu);
        core.flushTranslations = flush;
      };
      return processes;
    }),
  ],
};
