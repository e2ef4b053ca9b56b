/** Invariants of group F: user address spaces. The sentences are those of the project's own list; which of them are checked, the checker says. */
import type { Invariant } from "./invariant.js";

export const SPACES: readonly Invariant[] = [
  { id: "F1", where: ["state", "run"], when: "always", sentence: "∀mm, ∀n,m∈R, slot<256: pgd_n[slot] and pgd_m[slot] have the same present bit and the same lower-table address (whenever page_table_lock is free)" },
  { id: "F2", where: ["state", "run"], when: "always", sentence: "∀mm, ∀n: kernel slots ≥ KERNEL_PGD_BOUNDARY (273 without memory KASLR) of pgd_n equal those of T(n)" },
  { id: "F3", where: ["state", "run"], when: "always", sentence: "canonical rule: slot present in any pgd_n ⇒ present in pgd_0" },
  { id: "F4", where: ["run"], when: "concurrent", sentence: "a user access on node n to a mapped VA succeeds after finitely many retries even if it raced with top-level propagation" },
  { id: "F5", where: ["run"], when: "munmap/exit", sentence: "when a lower table is freed no PGD of the mm (any node, kernel or user half of pair) still points to it, before the TLB flush that precedes reuse" },
  { id: "F6", where: ["state", "run"], when: "fork OOM", sentence: "number of PGD pages of a live mm = #R × (1 or 2); after mmput it is 0; fork+exit is leak-free; allocation failure at node k frees exactly the k pages it allocated and never touches the parent's" },
  { id: "F7", where: ["run"], when: "always", sentence: "fork child's user view equals parent's (COW) on every node; exec gets fresh PGDs" },
  { id: "F8", where: ["run"], when: "always", sentence: "user-visible state (contents, A/D bits, rmap, mlock, RSS except PGD bytes) is independent of replication on/off — differential test" },
  { id: "F9", where: ["state", "run"], when: "modify_ldt + KPTI", sentence: "LDT slot (272) is reachable from every node's kernel and user PGD of that mm" },
];
