/** D8: a failed fork frees the parent's PGDs. */
import { overlay } from "@kreplica/di";
import { AddressSpaces, PageAllocator, PGD_ORDER } from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";

export const D8: SeriesDefect = {
  id: "D8",
  sentence: "a failed fork frees the parent's PGDs",
  patch: "07/12 arch/x86/mm/pgtable.c pgd_alloc",
  effect:
    "the array of PGDs is the parent's until the child has its own: the error path frees tables that a running process uses",
  breaks: ["F6"],
  confirmed: "read in the patch",
  overlays: [
    overlay(AddressSpaces, (spaces, get) => {
      const allocator = get(PageAllocator);
      const create = spaces.create.bind(spaces);
      spaces.create = (node, parent) => {
        const made = create(node, parent);
        if (!made && parent) for (const each of parent.pgdNodes) allocator.free(parent.pgd(each), PGD_ORDER);
        return made;
      };
      return spaces;
    }),
  ],
};
