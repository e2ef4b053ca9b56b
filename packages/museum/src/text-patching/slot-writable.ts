/** probe-slot-wx: pages of probes' instructions are writable and executable. */
import { overlay } from "@kreplica/di";
import { SetMemory } from "@kreplica/set-memory/api";
import type { Bug } from "../bug.js";

export const SLOT_WRITABLE: Bug = {
  id: "probe-slot-wx",
  room: "text patching",
  sentence: "the page that holds the instructions of probes is writable and executable",
  happened:
    "A probe runs the instruction it replaced from a slot of its own. The page of slots was made read-only after each change and writable before the next, or was left with every right.",
  mended: "In 4.20 (2018) such a page is read-only and executable from its first moment, and written like any text.",
  commits: [{ id: "63fef14fc98a", subject: "kprobes/x86: Make insn buffer always ROX and use text_poke()" }],
  invariant: "B6",
  kernel: {},
  path: [{ op: "patch", change: "probe", nth: 0, cpu: 0 }],
  copies: { without: "B6", with: "B6", words: "The same: the slots are shared by all nodes." },
  overlays: [
    overlay(SetMemory, (memory) => {
      memory.readOnlyExecutable = (range) => {
        memory.executable(range);
      };
      return memory;
    }),
  ],
};
