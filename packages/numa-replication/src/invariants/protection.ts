/** Invariants of group C: protection. The sentences are those of the project's own list; codes that check them are in this folder. */
import type { Invariant } from "./invariant.js";

export const PROTECTION: readonly Invariant[] = [
  { id: "C1", where: ["state"], when: "after 14", sentence: "after mark_rodata_ro: TEXT is R-X, RO is R--, rest of image RW- on every node (no W+X leaf in any T(n))" },
  { id: "C2", where: ["state", "test packages/bench/test/efi-roots.test.ts"], when: "after boot", sentence: "no other live root (init_top_pgt, trampoline, efi) maps TEXT/RO writable or data executable" },
  { id: "C3", where: ["state"], when: "after boot", sentence: "direct-map alias of every TEXT/RO replica frame is not writable" },
  { id: "C4", where: ["state"], when: "after 13", sentence: "free_initmem ranges are non-present or RW+NX on every node; no node keeps an executable stale init mapping" },
  { id: "C5", where: ["run"], when: "always", sentence: "numa_set_memory_X(range) ≡ ∀n∈R set_memory_X(range) on T(n); idempotent; returns nonzero if any node failed" },
  { id: "C6", where: ["state"], when: "always", sentence: "under KPTI, nothing outside {entry text, cpu_entry_area, espfix, vsyscall, TSS words, (whole text if global_ok)} is mapped in any node's user PGD, a process's included, beside that process's own LDT pages in the LDT slot, read-only" },
  { id: "C7", where: ["state", "run"], when: "KPTI on", sentence: "user-half slot written in a kernel PGD has NX in that kernel PGD and no NX in the paired user PGD, for every node pair" },
];
