/** global-one-half: one half of a pair has the G bit of kernel text, the other has not. */
import { Bit } from "@kreplica/hw-x86/api";
import { userHalvesChanged } from "../boot-changes.js";
import type { Bug } from "../bug.js";

export const GLOBAL_HALF: Bug = {
  id: "global-one-half",
  room: "KPTI and LDT",
  sentence: "one half of a pair has the G bit of kernel text and the other has not",
  happened:
    "set_memory cleared the G bit of whatever it touched, and KPTI set it again where text may be global. What went through both came out with a bit nobody had chosen: text that is global in one half and not in the other is cached twice, or outlives a flush that the other half trusts.",
  mended: "In 4.17 (April 2018) set_memory leaves the bit of the kernel image alone, and who clears it says so.",
  commits: [{ id: "39114b7a743e", subject: "x86/pti: Never implicitly clear _PAGE_GLOBAL for kernel image" }],
  invariant: "C8",
  kernel: { pti: true },
  path: [],
  copies: { without: "C8", with: "C8", words: "The same in each pair." },
  overlays: [userHalvesChanged((lo, hi) => [(lo & ~Bit.Global) >>> 0, hi], "G cleared in user halves")],
};
