/** efi-flush-mid-call: a flush brings back the process's tables in the middle of a firmware call. */
import type { Bug } from "../bug.js";
import { mmap, munmap, run, spawn, touch } from "../steps.js";
import { behindItsBack } from "./behind-its-back.js";

export const FLUSHED_MEANWHILE: Bug = {
  id: "efi-flush-mid-call",
  room: "EFI",
  sentence: "a flush loads the process's tables while its CPU is inside the firmware",
  happened:
    "A call into the firmware runs on tables of its own. Where CR3 was written without the knowledge of those who count which CPU runs what, a flush of the process below reloaded that process's CR3: the firmware went on without its memory.",
  mended:
    "From 4.17 and 4.19 (2018) the firmware has an mm of its own that is switched to like any other, by a worker.",
  commits: [{ id: "3eb420e70d87", subject: "efi: Use a work queue to invoke EFI Runtime Services" }],
  invariant: "G1",
  kernel: {},
  path: [spawn(), mmap(0, 1024), touch(0, 0), run(2), { op: "firmware", cpu: 2, lazy: false, during: munmap(0, 1024) }],
  copies: { without: "G1", with: "G1", words: "The same; the series has one EFI root for all nodes." },
  overlays: [behindItsBack("EFI")],
};
