/** present-global: a page that comes back is global, whatever it was. */
import { overlay } from "@kreplica/di";
import { SetMemory } from "@kreplica/set-memory/api";
import type { Bug } from "../bug.js";

export const PRESENT_GLOBAL: Bug = {
  id: "present-becomes-global",
  room: "set_memory",
  sentence: "a page that is made present again becomes global, though nobody asked for it",
  happened:
    "An entry that is not present uses the place of G for something else. set_memory left the bits where they were: entries that were absent looked present to some, and those that came back were global or large by accident.",
  mended: "In 3.9 (February 2013) both bits are cleared with P and set with it; 4.17 (2018) leaves G alone.",
  commits: [
    { subject: "x86/mm/pageattr: Prevent PSE and GLOABL leftovers to confuse pmd/pte_present and pmd_huge" },
    { id: "39114b7a743e", subject: "x86/pti: Never implicitly clear _PAGE_GLOBAL for kernel image" },
  ],
  invariant: "B6",
  kernel: {},
  path: [
    { op: "setmem", change: "np", page: 0, pages: 1 },
    { op: "setmem", change: "p", page: 0, pages: 1 },
  ],
  copies: { without: "B6", with: "B6", words: "The same on every node." },
  overlays: [
    overlay(SetMemory, (memory) => {
      memory.present = (range) => {
        memory.change(range, { present: true, global: true }, true);
      };
      return memory;
    }),
  ],
};
