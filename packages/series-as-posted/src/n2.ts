/** N2: idt_table becomes read-only on one root alone. */
import { overlay } from "@kreplica/di";
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

const WRITABLE = 2;

export const N2: SeriesDefect = {
  id: "N2",
  sentence: "idt_table becomes read-only on one root alone",
  patch: "09/12 arch/x86/kernel/idt.c idt_setup_early_handler (a call of set_memory_ro that was not converted)",
  effect: "the table of interrupt handlers stays writable on every other node",
  confirmed: "seen on a running kernel",
  overlays: [
    overlay(KernelBoot, (boot, get) => {
      const [view, entries, image, layout] = [get(ReplicaView), get(TableMemory), get(KernelImage), get(KernelLayout)];
      boot.during("init-irq", () => {
        for (const { root } of view.roots.filter((each) => each.node !== view.holders[0])) {
          const { table, index, lo, hi } = walk(
            entries.memory,
            root,
            layout.levels,
            imageAddress(layout, image.symbol("idt_table")!),
          );
          entries.write(table, index, lo | WRITABLE, hi);
        }
        return "the other roots keep idt_table writable";
      });
      return boot;
    }),
  ],
};
