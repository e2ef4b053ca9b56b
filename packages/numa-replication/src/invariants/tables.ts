/** Invariants of group B: page-table shape. The sentences are those of the project's own list; codes that check them are in this folder. */
import type { Invariant } from "./invariant.js";

export const TABLES: readonly Invariant[] = [
  { id: "B1", where: ["state"], when: "after step 7", sentence: "∀n∈R: every table page on the path of T(n) to W (PGD, P4D if 5-level, PUD, both PMD pages) is distinct from that of any other m∈R" },
  { id: "B2", where: ["state"], when: "after step 7", sentence: "∀n∈R: each of those pages of T(n) is located on node n" },
  { id: "B3", where: ["state"], when: "always", sentence: "∀ PGD slot i≠511: T(n)[i] = T(m)[i] (same lower table) in 4-level; in 5-level ∀ P4D slot ≠511 of PGD 511 likewise" },
  { id: "B4", where: ["state"], when: "always", sentence: "PUD slots other than 510/511 of the last PUD page are equal in all nodes" },
  { id: "B5", where: ["state"], when: "always", sentence: "PTE pages reachable from copied PMD entries at clone time (fixmap, vsyscall) are shared: one set_fixmap is visible on all nodes" },
  { id: "B6", where: ["state"], when: "after every permission API returns", sentence: "leaf flags (P,RW,NX,G,PCD/PWT) of a VA in W are equal on all nodes" },
  { id: "B7", where: ["boot"], when: "steps 1–7", sentence: "before replication is active every pgd_numa[n] query yields the boot table" },
  { id: "B8", where: ["state"], when: "after AP bring-up", sentence: "init_mm.pgd == init_mm.pgd_numa[0] and is not init_top_pgt after step 7; CPUs in steady state never run on init_top_pgt" },
  { id: "B9", where: ["boot"], when: "step 7", sentence: "number of private table pages per replica node = 1 PGD(order 0/1)+1 PUD+2 PMD (+1 P4D in 5-level) at end of step 7" },
  { id: "B10", where: ["boot"], when: "step 7", sentence: "replication never changes any VA→content mapping observable by the booting CPU (walk before == walk after in bytes and flags)" },
  { id: "B11", where: ["state", "run"], when: "from mm-core-init on", sentence: "every table page reachable from a root of any half (T(n), init_top_pgt, a process's PGDs, EFI's, the poking space's, what CR3 of any CPU names) is a page table: never free, never handed out for anything else" },
];
