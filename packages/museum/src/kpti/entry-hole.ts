/** pti-clone-skips: the user half misses what lies behind an unaligned address. */
import { userHalvesChanged } from "../boot-changes.js";
import type { Bug } from "../bug.js";
import { run, spawn } from "../steps.js";

export const ENTRY_HOLE: Bug = {
  id: "pti-clone-skips",
  room: "KPTI and LDT",
  sentence: "the user half misses a piece of the text that CPUs enter the kernel by",
  happened:
    "pti_clone_pgtable goes from one table entry to the next by their size. Begun at an address that is not on it, it skipped what lay before the next border once it had met a hole: a piece of entry text was missing in user halves, and the first entry through it faulted for good.",
  mended:
    "In 5.3 (August 2019) it goes on from the border; in 6.11 (2024) it no longer trusts that the end is aligned either.",
  commits: [
    { id: "825d0b73cd75", subject: "x86/mm/pti: Handle unaligned address gracefully in pti_clone_pagetable()" },
    { id: "41e71dbb0e0a", subject: "x86/mm: Fix pti_clone_pgtable() alignment assumption" },
  ],
  invariant: "G6",
  kernel: { pti: true },
  path: [spawn(), run(2), { op: "entryfetch", cpu: 2, half: "user" }],
  copies: { without: "G6", with: "G6", words: "The same; each holder's user half is cloned alike." },
  overlays: [userHalvesChanged(() => [0, 0], "entry text skipped")],
};
