/** Invariants of group I: Configuration and accounting. The sentences are those of the project's own list; which of them are checked, the checker says. */
import type { Invariant } from "./invariant.js";

export const ACCOUNTING: readonly Invariant[] = [
  { id: "I1", where: ["test packages/bench/test/check/compared-kernels.test.ts"], when: "always", sentence: "option off: builds, and behaves identically to base (trace-equal) except image alignment" },
  { id: "I2", where: ["test packages/bench/test/check/compared-kernels.test.ts"], when: "always", sentence: "KASAN ∧ 5-level ⇒ option unavailable; MAXSMP ⇒ unavailable" },
  { id: "I3", where: ["state", "test packages/bench/test/boot.test.ts"], when: "always", sentence: "extra memory = Σ_{n∈R∖{master}} (size TEXT + size RO) + Σ_{n∈R} tables + Σ_mm (#R−1)·PGD + Σ_mm (MAX_NUMNODES−1)·8 B + Σ_modules (#R−1)(text+rodata) — model's counters must equal this closed form" },
  { id: "I4", where: ["boot", "run"], when: "always", sentence: "R is frozen at reserve time; a node that gains memory later joins O∖R and uses near(n)" },
  { id: "I5", where: ["test packages/bench/test/check/claims.test.ts"], when: "always", sentence: "work per user top-level slot change = #R stores; per poke = #R writes; per module load = (#R−1)·pages copies; each permission/map change inside W = #R passes; all other mm operations have zero extra stores" },
  { id: "I6", where: ["test packages/bench/test/check/compared-kernels.test.ts"], when: "always", sentence: "numa_replicate* deterministic: same topology+image ⇒ same table layout and same dump" },
];
