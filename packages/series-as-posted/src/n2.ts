/** N2: idt_table becomes read-only on one root alone. */
import { overlay } from "@kreplica/di";
import { Bit } from "@kreplica/hw-x86/api";
import {
  imageAddress,
  KernelBoot,
  KernelImage,
  KernelLayout,
  ReplicaView,
  TableMemory,
  walk,
} from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";

export const N2: SeriesDefect = {
  id: "N2",
  sentence: "idt_table becomes read-only on one root alone",
  patch: "05/12, which does not reach arch/x86/kernel/idt.c: its set_memory_ro is not converted",
  effect: "the table of interrupt handlers stays writable on every other node",
  breaks: ["B6"],
  confirmed: "seen on a running kernel",
  overlays: [
    overlay(KernelBoot, (boot, get) => {
      const [view, entries, image, layout] = [get(ReplicaView), get(TableMemory), get(KernelImage), get(KernelLayout)];
      boot.during("init-irq", () => {
        const missed = view.roots.filter((each) => each.node !== view.holders[0]);
        for (const { root } of missed) {
          const { table, index, lo, hi } = walk(
            entries.memory,
            root,
            layout.levels,
            imageAddress(layout, image.symbol("idt_table")!),
          );
          entries.write(table, index, lo | Bit.Writable, hi);
        }
        return missed.length === 0
          ? ""
          : `then writable again on all but node ${view.holders[0]}'s, which alone the series' call reaches (N2)`;
      });
      return boot;
    }),
  ],
};
