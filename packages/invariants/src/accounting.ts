/**
 * Group I: configuration and accounting. Most of it compares kernels, which tests do; the frames of copies are counted
 * here.
 */
import type { Invariant } from "./invariant.js";
import { between, notWatched } from "./seen-steps.js";
import type { Subject } from "./subject.js";

export const ACCOUNTING: readonly Invariant<Subject>[] = [
  {
    id: "I1",
    when: "always",
    where: ["test packages/bench/test/check/compared-kernels.proof.test.ts"],
    sentence: "option off: builds, and behaves identically to base (trace-equal) except image alignment",
  },
  {
    id: "I2",
    when: "always",
    where: ["test packages/bench/test/check/compared-kernels.proof.test.ts"],
    sentence: "KASAN ∧ 5-level ⇒ option unavailable; MAXSMP ⇒ unavailable",
  },
  {
    id: "I3",
    when: "always",
    where: ["state", "test packages/bench/test/boot.proof.test.ts"],
    sentence:
      "extra memory = Σ_{n∈R∖{master}} (what is copied of TEXT and RO) + Σ_{n∈R} tables + Σ_mm (#R−1)·PGD + Σ_mm " +
      "(MAX_NUMNODES−1)·8 B + Σ_modules (#R−1)(text+rodata) — model's counters must equal this closed form",
    check(subject, verdict) {
      if (!subject.isPast("numa-replicate-rodata")) return verdict.skip();
      const { machine, allocator } = subject.kernel;
      for (const part of [subject.text, subject.rodata]) {
        const purpose = part.name as "text" | "rodata";
        const counted = machine.nodes.reduce((sum, node) => sum + allocator.usedFrames(node, purpose), 0);
        const copied = subject.copied.filter(({ name }) => name === part.name);
        const copies = subject.copyHolders.length - 1;
        const wanted = copies * copied.reduce((sum, { pages }) => sum + pages, 0);
        if (counted !== wanted)
          verdict.fail(`${counted} frames are used for copies of ${part.name}, ${copies} copies need ${wanted}`);
      }
    },
  },
  {
    id: "I4",
    when: "always",
    where: ["boot", "run"],
    sentence: "R is frozen at reserve time; a node that gains memory later joins O∖R and uses near(n)",
    check(subject, verdict) {
      const settled = between(subject, "numa-replicate-kernel")[0]?.holders;
      if (notWatched(subject) || !settled) return verdict.skip();
      const now = subject.holders;
      if (now.join() !== settled.join())
        verdict.fail(`nodes ${settled.join(", ")} held copies when room was reserved, now ${now.join(", ")}`);
    },
  },
  {
    id: "I5",
    when: "always",
    where: ["test packages/check/test/claims.test.ts"],
    sentence:
      "work per user top-level slot change = #R stores; per poke = #R writes; per module load = " +
      "(#R−1)·pages copies; each permission/map change inside W = #R passes; all other mm operations have " +
      "zero extra stores",
  },
  {
    id: "I6",
    when: "always",
    where: ["test packages/bench/test/check/compared-kernels.proof.test.ts"],
    sentence: "numa_replicate* deterministic: same topology+image ⇒ same table layout and same dump",
  },
];
