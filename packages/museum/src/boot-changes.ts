/** What bugs change while the kernel boots: a piece of the image's view, or the entry text in user halves. */
import { type Binding, overlay } from "@kreplica/di";
import { isPresent, type PageRange } from "@kreplica/hw-x86/api";
import {
  type BootStep,
  imageAddress,
  KernelBoot,
  KernelImage,
  KernelLayout,
  KernelTables,
  type Protection,
  ReplicaView,
  TableMemory,
  walk,
} from "@kreplica/mm-core/api";

/** Pages of the image get other rights behind a step of the boot. @param words what the step's line says then */
export const imageChanged = (
  step: BootStep,
  pages: (image: KernelImage, layout: KernelLayout) => PageRange,
  change: Partial<Protection>,
  words: string,
): Binding =>
  overlay(KernelBoot, (boot, get) => {
    const [tables, layout, image] = [get(KernelTables), get(KernelLayout), get(KernelImage)];
    boot.during(step, () => {
      tables.edit((editor) => editor.protect(pages(image, layout), change));
      return words;
    });
    return boot;
  });

/** The leaf of the first entry text in every user half is another behind `pti-finalize`. @param leaf of its halves */
export const userHalvesChanged = (
  leaf: (lo: number, hi: number) => readonly [lo: number, hi: number],
  words: string,
): Binding =>
  overlay(KernelBoot, (boot, get) => {
    const [entries, view, layout, image] = [get(TableMemory), get(ReplicaView), get(KernelLayout), get(KernelImage)];
    boot.during("pti-finalize", () => {
      const start = imageAddress(layout, image.stext);
      for (const { root } of view.roots) {
        const { table, index, lo, hi } = walk(entries.memory, root + 1, layout.levels, start);
        if (isPresent(lo)) entries.write(table, index, ...leaf(lo, hi));
      }
      return words;
    });
    return boot;
  });
