/** Invariants of group D: patching. The sentences are those of the project's own list; which of them are checked, the checker says. */
import type { Invariant } from "./invariant.js";

export const PATCHING: readonly Invariant[] = [
  { id: "D-1", where: ["patching"], when: "always", sentence: "after text_poke*(va,len) returns, all replicas contain the new bytes" },
  { id: "D-2", where: ["patching"], when: "runtime", sentence: "at every sync point (IPI completion) of the INT3 protocol all replicas are byte-identical" },
  { id: "D-3", where: ["patching"], when: "runtime", sentence: "at no instant does any replica contain a mix other than {old}, {INT3+old tail}, {INT3+new tail}, {new}; the phase skew between replicas is ≤ 1" },
  { id: "D-4", where: ["patching"], when: "runtime", sentence: "a CPU on any node executing a site being patched either runs old code, takes INT3 and is emulated, or runs new code" },
  { id: "D-5", where: ["patching"], when: "runtime", sentence: "a poke crossing a page boundary uses two frames of the same node" },
  { id: "D-6", where: ["patching"], when: "runtime", sentence: "poking alias PTEs are absent before and after; no TLB entry for the alias survives on any CPU" },
  { id: "D-7", where: ["patching"], when: "runtime", sentence: "number of distinct frames written = #R if va replicated, 1 otherwise" },
  { id: "D-8", where: ["patching"], when: "boot", sentence: "patches applied before step 7 appear in all replicas (inherited by copy); patches between 7 and 15 appear in all text replicas" },
  { id: "D-9", where: ["patching"], when: "boot", sentence: ".init.text patches touch only the single copy" },
  { id: "D-10", where: ["patching"], when: "runtime", sentence: "kprobe arm on node a, hit on node b ⇒ handler runs; disarm restores original bytes in all replicas" },
  { id: "D-11", where: ["patching"], when: "runtime", sentence: "verification reads every replica, not only the local one" },
  { id: "D-12", where: ["patching"], when: "runtime", sentence: "kgdb/ftrace/jump-label/static-call/livepatch toggles n times ⇒ all replicas equal the single-copy kernel's text after the same sequence (differential test)" },
  { id: "D-13", where: ["patching"], when: "any", sentence: "numa_addr_in_replica fails for addresses outside TEXT, for non-replica nodes, and after pointers were cleared" },
  { id: "D-14", where: ["state", "run"], when: "always", sentence: "every address of text that a probe, a traced function, a static key or call, a live patch, a breakpoint or a patch under way keeps is mapped and executable on every node" },
];
