/** Group F, as far as a kernel at rest shows it: every live address space, its PGDs' own words, on every node. */
import type { AddressSpace } from "@kreplica/mm-core/api";
import { LDT_SLOT, PGD_ORDER } from "@kreplica/mm-core/api";
import type { Invariant } from "./invariant.js";
import type { Subject } from "./subject.js";

/** Slots of the lower half; those above belong to the kernel. */
const USER_SLOTS = 256;

/** Calls `each` with every pair of a space's canonical PGD and another of its PGDs, half by half. */
function pairs(
  subject: Subject,
  each: (space: AddressSpace, node: number, mine: number, canonical: number, half: "kernel" | "user") => void,
): void {
  const { spaces, layout } = subject.kernel;
  for (const space of spaces.all) {
    const [first, ...others] = space.pgdNodes;
    for (const node of others) {
      each(space, node, space.pgd(node), space.pgd(first!), "kernel");
      if (layout.pti) each(space, node, space.pgd(node) + 1, space.pgd(first!) + 1, "user");
    }
  }
}

const noSpaces = ({ kernel }: Subject): boolean => kernel.spaces.all.size === 0;

export const SPACES: readonly Invariant<Subject>[] = [
  {
    id: "F1",
    when: "always",
    where: ["state", "run"],
    sentence:
      "∀mm, ∀n,m∈R, slot<256: pgd_n[slot] and pgd_m[slot] have the same present bit and the same " +
      "lower-table address (whenever page_table_lock is free)",
    check(subject, verdict) {
      if (noSpaces(subject)) return verdict.skip();
      const { entries } = subject.kernel;
      pairs(subject, (space, node, mine, canonical, half) => {
        for (let slot = 0; slot < USER_SLOTS; slot++) {
          if (
            entries.low(mine, slot) !== entries.low(canonical, slot) ||
            entries.high(mine, slot) !== entries.high(canonical, slot)
          )
            verdict.fail(
              `slot ${slot} of space ${space.id} on node ${node} (${half} half) is not that of node ${space.pgdNodes[0]!}`,
            );
        }
      });
    },
  },
  {
    id: "F2",
    when: "always",
    where: ["state", "run"],
    sentence: "∀mm, ∀n: kernel slots ≥ KERNEL_PGD_BOUNDARY (273 without memory KASLR) of pgd_n equal those of T(n)",
    check(subject, verdict) {
      if (noSpaces(subject)) return verdict.skip();
      const { entries, spaces, layout } = subject.kernel;
      for (const space of spaces.all) {
        for (const node of space.pgdNodes) {
          const [pgd, root] = [space.pgd(node), subject.root(node)];
          for (let slot = layout.kernelBoundary; slot < 512; slot++) {
            if (
              entries.low(pgd, slot) !== entries.low(root, slot) ||
              entries.high(pgd, slot) !== entries.high(root, slot)
            )
              verdict.fail(`kernel slot ${slot} of space ${space.id} on node ${node} is not that of the node's root`);
          }
        }
      }
    },
  },
  {
    id: "F3",
    when: "always",
    where: ["state", "run"],
    sentence: "canonical rule: slot present in any pgd_n ⇒ present in pgd_0",
    check(subject, verdict) {
      if (noSpaces(subject)) return verdict.skip();
      const { entries } = subject.kernel;
      pairs(subject, (space, node, mine, canonical, half) => {
        for (let slot = 0; slot < USER_SLOTS; slot++) {
          if (entries.low(mine, slot) & 1 && !(entries.low(canonical, slot) & 1))
            verdict.fail(
              `slot ${slot} of space ${space.id} is there on node ${node} (${half} half) and not in the canonical PGD`,
            );
        }
      });
    },
  },
  {
    id: "F4",
    when: "concurrent",
    where: ["run"],
    sentence:
      "a user access on node n to a mapped VA succeeds after finitely many retries even if it raced with " +
      "top-level propagation",
  },
  {
    id: "F5",
    when: "munmap/exit",
    where: ["run"],
    sentence:
      "when a lower table is freed no PGD of the mm (any node, kernel or user half of pair) still points " +
      "to it, before the TLB flush that precedes reuse",
  },
  {
    id: "F6",
    when: "fork OOM",
    where: ["state", "run"],
    sentence:
      "number of PGD pages of a live mm = #R × (1 or 2); after mmput it is 0; fork+exit is leak-free; " +
      "allocation failure at node k frees exactly the k pages it allocated and never touches the parent's",
    check(subject, verdict) {
      // The firmware's mm is one too, of which no process knows.
      const { spaces, allocator, entries, otherRoots = [] } = subject.kernel;
      if (noSpaces(subject) && otherRoots.length === 0) return verdict.skip();
      for (const { name, root } of otherRoots)
        if (!allocator.owns(root, PGD_ORDER)) verdict.fail(`${name}, frame ${root}, is not an allocation of two pages`);
      const owner = new Map<number, number>();
      for (const space of spaces.all) {
        for (const node of space.pgdNodes) {
          const pgd = space.pgd(node);
          if (!allocator.owns(pgd, PGD_ORDER))
            verdict.fail(`the PGD of space ${space.id} on node ${node} is not an allocation of two pages`);
          if (owner.has(pgd)) verdict.fail(`spaces ${owner.get(pgd)!} and ${space.id} use the same PGD`);
          if (subject.isReplicated && entries.memory.nodeOf(pgd) !== node)
            verdict.fail(`the PGD of space ${space.id} for node ${node} lies on node ${entries.memory.nodeOf(pgd)}`);
          owner.set(pgd, space.id);
        }
      }
    },
  },
  {
    id: "F7",
    when: "always",
    where: ["run"],
    sentence: "fork child's user view equals parent's (COW) on every node; exec gets fresh PGDs",
  },
  {
    id: "F8",
    when: "always",
    where: ["run"],
    sentence:
      "user-visible state (contents, A/D bits, rmap, mlock, RSS except PGD bytes) is independent of " +
      "replication on/off — differential test",
  },
  {
    id: "F9",
    when: "modify_ldt + KPTI",
    where: ["state", "run"],
    sentence: "LDT slot (272) is reachable from every node's kernel and user PGD of that mm",
    check(subject, verdict) {
      if (noSpaces(subject) || !subject.kernel.layout.pti) return verdict.skip();
      const { entries, spaces } = subject.kernel;
      for (const space of spaces.all) {
        // A space without an LDT has the slot nowhere; one with it, everywhere and the same table.
        const words = space.pgdNodes.flatMap((node) =>
          [0, 1].map((half) => ({ node, half, lo: entries.low(space.pgd(node) + half, LDT_SLOT) & ~0x60 })),
        );
        const wanted = words.find(({ lo }) => lo & 1);
        for (const { node, half, lo } of words)
          if (wanted && lo !== wanted.lo)
            verdict.fail(
              `the LDT's slot of space ${space.id} is ${lo & 1 ? "another" : "missing"} in the ${half ? "user" : "kernel"} half on node ${node}`,
            );
      }
    },
  },
  {
    id: "F10",
    when: "truncate",
    where: ["run"],
    sentence:
      "a page of a file is one frame in every process that has no copy of it, and no process has a leaf, its own copy's " +
      "neither, behind the file's end",
  },
];
