/** poke-tables-unknown: the poking tables are loaded behind the back of those who flush. */
import { behindItsBack } from "../efi/behind-its-back.js";
import type { Bug } from "../bug.js";
import { run, spawn } from "../steps.js";

export const POKING_UNKNOWN: Bug = {
  id: "poke-tables-unknown",
  room: "text patching",
  sentence: "a flush that comes in the middle of a poke loads other tables under it",
  happened:
    "While a CPU pokes text it runs on tables that belong to no process. A debugger's or an NMI's access to user memory, or a flush, that believes what the CPU ran before would use the wrong tables, or take the poking ones away in the middle.",
  mended:
    "5.2 (2019) brought temporary mms with it: loaded_mm says what is loaded, flushes and nmi_uaccess_okay look there.",
  commits: [{ id: "b3fd8e83ada0", subject: "x86/alternatives: Use temporary mm for text poking" }],
  invariant: "G1",
  kernel: {},
  path: [spawn(), run(2), { op: "poke", cpu: 2, lazy: true, store: 1, during: { op: "exit", p: 0 } }],
  copies: { without: "G1", with: "G1", words: "Worse: a poke of so many copies is so many times away." },
  overlays: [behindItsBack("the poking alias")],
};
