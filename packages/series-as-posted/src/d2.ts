/** D2: spurious kernel faults are never recognised. */
import { overlay } from "@kreplica/di";
import { Processes } from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";

/** Bits of an address below the index into the PGD. */
const FIRST_SLOT = 0x7f_ffff_ffffn;

export const D2: SeriesDefect = {
  id: "D2",
  sentence: "spurious kernel faults are never recognised",
  patch: "07/12 arch/x86/mm/fault.c spurious_kernel_fault",
  effect:
    "the index into the PGD was lost, so that the first slot is looked at: a fault that a stale translation caused is taken for a real one",
  breaks: ["G9"],
  confirmed: "seen on a running kernel",
  overlays: [
    overlay(Processes, (processes) => {
      const isSpurious = processes.isSpuriousKernelFault.bind(processes);
      processes.isSpuriousKernelFault = (cpu, address, write, fetch) =>
        isSpurious(cpu, address & FIRST_SLOT, write, fetch);
      return processes;
    }),
  ],
};
