/** ldt-freed-mapped: an LDT's pages are freed while the process still maps them. */
import { overlay } from "@kreplica/di";
import { AddressSpaces, eachNewSpace } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { spawn } from "../steps.js";

const ldt = (entry: number) => ({ op: "ldt", p: 0, cpu: 0, entry, value: 7 }) as const;

export const LDT_UNMAPPED: Bug = {
  id: "ldt-freed-mapped",
  room: "KPTI and LDT",
  sentence: "an LDT that was replaced is freed, and both halves go on mapping its pages",
  happened:
    "Under KPTI an LDT is mapped where user mode finds it. When it was replaced, the new one was mapped beside it and the old pages were freed; their entries stayed in the tables of a live process, for whatever the pages became.",
  mended: "In 4.20 (late 2018) the entries go first.",
  commits: [{ subject: "x86/ldt: Unmap PTEs for the slot before freeing LDT pages" }],
  invariant: "F7",
  kernel: { pti: true },
  path: [spawn(), ldt(0), ldt(1)],
  copies: {
    without: "F7",
    with: "F7",
    words: "The same: the table below the slot is shared by all PGDs of a process.",
  },
  overlays: [
    overlay(AddressSpaces, (spaces) =>
      eachNewSpace(spaces, (space) => {
        space.unmapLdt = () => undefined;
      }),
    ),
  ],
};
