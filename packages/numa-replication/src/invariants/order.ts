/** Invariants of group H: boot ordering. The sentences are those of the project's own list; which of them are checked, the checker says. */
import type { Invariant } from "./invariant.js";

export const ORDER: readonly Invariant[] = [
  { id: "H1", where: ["boot"], when: "while booting", sentence: "reserve happens while memblock is the allocator; replicate text after buddy+pti_init and before poking_init, ftrace_init, alternatives, AP start" },
  { id: "H2", where: ["boot"], when: "while booting", sentence: "rodata copy happens after mark_readonly and before user space; extable sort precedes it" },
  { id: "H3", where: ["boot"], when: "while booting", sentence: "between H1 and H2 every node maps the same rodata frames (writes to __ro_after_init visible everywhere)" },
  { id: "H4", where: ["boot"], when: "while booting", sentence: "text_replicated flips to true only after all text copies are installed, and never back" },
  { id: "H5", where: ["state"], when: "while booting", sentence: "pti_finalize after rodata replication keeps user tables' text bytes equal to kernel's" },
  { id: "H6", where: ["test packages/bench/test/check/compared-kernels.test.ts"], when: "while booting", sentence: "boot succeeds with boot CPU on any node, master on any node, node 0 memoryless/absent" },
];
