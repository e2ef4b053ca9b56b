/** poke-alias-stale: the address that text was written through can be written through again. */
import type { Bug } from "../bug.js";
import { someInvlpg } from "../lazy-tlb/some-invlpg.js";
import { run, spawn } from "../steps.js";

export const ALIAS_STALE: Bug = {
  id: "poke-alias-stale",
  room: "text patching",
  sentence: "the writable address that a poke used for text is still cached afterwards",
  happened:
    "text_poke wrote through two fixmap pages that every CPU has in its tables, and flushed them on its own CPU alone. Whoever knew the address and was quick could write to kernel text from another CPU, or later from the same one.",
  mended:
    "In 5.2 (April 2019) the alias moved into tables of its own that only the poking CPU loads, and is flushed there before it leaves.",
  commits: [{ id: "b3fd8e83ada0", subject: "x86/alternatives: Use temporary mm for text poking" }],
  invariant: "P6",
  kernel: {},
  path: [spawn(), run(0), { op: "patch", change: "key", nth: 0, cpu: 0 }],
  copies: {
    without: "P6",
    with: "P6",
    words:
      "Worse by their number: one alias is pointed at each copy in turn, so that what stays leads to the last one written.",
  },
  overlays: [someInvlpg((address, pcid) => address >> 63n !== 0n || pcid !== 0)],
};
