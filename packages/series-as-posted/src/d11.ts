/** D11: the LDT is mapped in one node's user half alone. */
import { overlay } from "@kreplica/di";
import { AddressSpaces, eachNewSpace, LDT_SLOT, TableMemory } from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";

export const D11: SeriesDefect = {
  id: "D11",
  sentence: "the LDT is mapped in one node's user half alone",
  patch: "none: arch/x86/kernel/ldt.c map_ldt_struct_to_user is not converted",
  effect: "with KPTI a process with an LDT faults on every node but the first",
  breaks: ["F9"],
  confirmed: "seen on a running kernel",
  overlays: [
    overlay(AddressSpaces, (spaces, get) => {
      const entries = get(TableMemory);
      return eachNewSpace(spaces, (space) => {
        const mapLdt = space.mapLdt.bind(space);
        space.mapLdt = (...ldt) => {
          const mapped = mapLdt(...ldt);
          for (const each of space.pgdNodes.slice(1)) entries.write(space.pgd(each) + 1, LDT_SLOT, 0, 0);
          return mapped;
        };
      });
    }),
  ],
};
