/** ldt-in-direct-map: with 5 levels the LDT's slot lies where the direct map may begin. */
import { overlay } from "@kreplica/di";
import { AddressSpaces, eachNewSpace, KernelLayout, LDT_SLOT, TableMemory } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { spawn } from "../steps.js";

export const LDT_PLACE: Bug = {
  id: "ldt-in-direct-map",
  room: "5 levels",
  sentence: "with 5 levels the LDT is mapped where the kernel's own memory is",
  happened:
    "KPTI's LDT area had a slot at the end of the vmalloc range with 4 levels and one with 5 that the randomised direct map could take as well. A process with an LDT replaced a part of the kernel's memory in its own tables.",
  mended: "In 4.20 (November 2018) the area moved below the direct map, in both modes.",
  commits: [{ id: "d52888aa2753", subject: "x86/mm: Move LDT remap out of KASLR region on 5-level paging" }],
  invariant: "F2",
  kernel: { levels: 5, pti: true },
  path: [spawn(), { op: "ldt", p: 0, cpu: 0, entry: 0, value: 7 }],
  copies: { without: "F2", with: "F2", words: "The same in every PGD of the process." },
  overlays: [
    overlay(AddressSpaces, (spaces, get) => {
      const [entries, layout] = [get(TableMemory), get(KernelLayout)];
      return eachNewSpace(spaces, (space) => {
        const mapLdt = space.mapLdt.bind(space);
        space.mapLdt = (...ldt) => {
          const mapped = mapLdt(...ldt);
          for (const node of layout.levels === 5 ? space.pgdNodes : [])
            entries.write(
              space.pgd(node),
              layout.kernelBoundary,
              entries.low(space.pgd(node), LDT_SLOT),
              entries.high(space.pgd(node), LDT_SLOT),
            );
          return mapped;
        };
      });
    }),
  ],
};
