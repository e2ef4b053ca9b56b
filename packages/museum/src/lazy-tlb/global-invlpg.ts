/** global-invlpg: INVLPG leaves a global translation where PCIDs are on. */
import type { Bug } from "../bug.js";
import { run, spawn } from "../steps.js";
import { someInvlpg } from "./some-invlpg.js";

export const GLOBAL_INVLPG: Bug = {
  id: "global-invlpg",
  room: "lazy TLB and PCIDs",
  sentence: "INVLPG leaves global translations in the TLB while PCIDs are in use",
  happened:
    "On some hybrid processors of Intel's (Alder Lake to Raptor Lake) INVLPG may leave a global entry when PCIDs are on. A kernel that relies on INVLPG for its own pages keeps translations of what it unmapped.",
  mended: "In 6.4 (May 2023) Linux does without PCIDs on those processors until their microcode is new enough.",
  commits: [{ id: "ce0b15d11ad8", subject: "x86/mm: Avoid incomplete Global INVLPG flushes" }],
  invariant: "G12",
  kernel: {},
  path: [
    spawn(),
    run(2),
    { op: "kmap", page: 0, perNode: false },
    { op: "kread", page: 0, cpu: 2 },
    { op: "kunmap", page: 0 },
  ],
  copies: {
    without: "G12",
    with: "G12",
    words:
      "Worse in kind: where each node has its own frame behind an address, what stays leads to a copy that may be free while the others' are not.",
  },
  overlays: [someInvlpg((address, pcid) => address >> 63n === 0n || pcid === 0)],
};
