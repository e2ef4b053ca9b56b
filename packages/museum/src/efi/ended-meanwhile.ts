/** efi-exit-mid-call: a process ends while its CPU is inside the firmware, and the CPU comes back to freed tables. */
import type { Bug } from "../bug.js";
import { run, spawn } from "../steps.js";
import { behindItsBack } from "./behind-its-back.js";

export const ENDED_MEANWHILE: Bug = {
  id: "efi-exit-mid-call",
  room: "EFI",
  sentence: "a process ends while its CPU is inside the firmware, and the CPU comes back to a freed PGD",
  happened:
    "A worker that calls the firmware borrows the tables of whichever process ran before. Remembering CR3 and writing it back holds nothing: the process may have ended meanwhile, and its PGD be another's page.",
  mended: "The firmware's mm (4.17) and a worker of its own (4.19, 2018): what is borrowed is counted.",
  commits: [{ id: "3eb420e70d87", subject: "efi: Use a work queue to invoke EFI Runtime Services" }],
  invariant: "G1",
  kernel: {},
  path: [spawn(), run(2), { op: "firmware", cpu: 2, lazy: true, during: { op: "exit", p: 0 } }],
  copies: { without: "G1", with: "G1", words: "The same: a PGD of a node goes with its process as the others do." },
  overlays: [behindItsBack("EFI")],
};
