/** D3: the debug check of CR3 expects node 0's root everywhere. */
import { overlay } from "@kreplica/di";
import { ReplicaView, SwitchMm } from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";

export const D3: SeriesDefect = {
  id: "D3",
  sentence: "the debug check of CR3 expects node 0's root everywhere",
  patch: "07/12 arch/x86/mm/tlb.c switch_mm_irqs_off",
  effect:
    "warnings in switch_mm and nmi_uaccess_okay, and global flushes by the hundred, on every other node of a kernel with DEBUG_VM",
  breaks: ["G8"],
  confirmed: "seen on a running kernel",
  overlays: [
    overlay(SwitchMm, (switcher, get) => {
      const view = get(ReplicaView);
      switcher.expectedRoot = (cpu) => switcher.loaded(cpu)?.pgd(view.holders[0]!) ?? view.kernelRoot(view.holders[0]!);
      return switcher;
    }),
  ],
};
