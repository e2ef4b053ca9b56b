/**
 * Group C, under KPTI: what both halves of a pair map of the kernel they map alike, so that one may be cached for both.
 */
import { Bit, type Frame, frameOf, isLeaf, isPresent, leafFrame, slotRange, walkRange } from "@kreplica/hw-x86/api";
import { pageWithin, walk } from "@kreplica/mm-core/api";
import type { Invariant } from "./invariant.js";
import type { Subject } from "./subject.js";

/** W, U, PWT, PCD of a leaf's low half. */
const RIGHTS = 0x01e;

/** Level, and the halves of the word. */
type Leaf = readonly [level: number, lo: number, hi: number];

/** What a leaf of the user half says otherwise than the kernel half's for the same address. */
function whatDiffers(address: bigint, [level, lo, hi]: Leaf, kernel: Leaf): string | undefined {
  const [kernelLevel, kernelLow, kernelHigh] = kernel;
  const within = pageWithin(address, kernelLevel);
  if (((lo ^ kernelLow) & Bit.Global) !== 0) return "G";
  if (level > kernelLevel || (level < kernelLevel && (lo & Bit.Global) !== 0)) return "size";
  if (leafFrame(lo, hi, level) !== leafFrame(kernelLow, kernelHigh, kernelLevel) + within) return "frame";
  return ((lo ^ kernelLow) & RIGHTS) !== 0 || (hi ^ kernelHigh) >>> 31 !== 0 ? "right" : undefined;
}

/** Pairs of PGDs that a CPU may load under KPTI. */
function* pairs({ kernel, holders }: Subject): Generator<{ readonly whose: string; readonly root: Frame }> {
  const { view, spaces } = kernel;
  for (const node of holders) yield { whose: `node ${node}`, root: view.kernelRoot(node) };
  for (const space of spaces.all)
    for (const node of space.pgdNodes) yield { whose: `space ${space.id} on node ${node}`, root: space.pgd(node) };
}

export const HALVES: readonly Invariant<Subject>[] = [
  {
    id: "C8",
    when: "KPTI, after pti_finalize",
    where: ["state", "run"],
    sentence:
      "where both halves of a pair map an address of the kernel they map it alike: the same frame, rights and G, and the " +
      "same size, but for single pages of one that is not global (the TSS words), which two PCIDs keep apart",
    check(subject, verdict) {
      const { layout, entries } = subject.kernel;
      if (!layout.pti || !subject.isPast("pti-finalize")) return verdict.skip();
      const { memory } = entries;
      const seen = new Map<Frame, Set<Frame>>();
      for (const { whose, root } of pairs(subject)) {
        for (let slot = layout.kernelBoundary; (slot = memory.nextEntry(root + 1, slot, 511)) < 512; slot++) {
          const lo = entries.low(root + 1, slot);
          const kernelLow = entries.low(root, slot);
          if (!isPresent(lo) || !isPresent(kernelLow)) continue;
          const table = frameOf(lo, entries.high(root + 1, slot));
          const kernelTable = frameOf(kernelLow, entries.high(root, slot));
          // The tables are the same, here or further down: so are the leaves. Or they were looked at for another pair.
          if (table === kernelTable || seen.get(table)?.has(kernelTable)) continue;
          seen.set(table, (seen.get(table) ?? new Set()).add(kernelTable));
          walkRange(memory, root + 1, layout.levels, slotRange(layout.levels, slot, slot), {
            table(address, level, lower) {
              const { level: kernelLevel, lo, hi } = walk(memory, root, layout.levels, address, level);
              return !(kernelLevel === level && isPresent(lo) && !isLeaf(lo, level) && frameOf(lo, hi) === lower);
            },
            leaf(address, level, userLow, userHigh) {
              const { level: kernelLevel, lo, hi } = walk(memory, root, layout.levels, address);
              if (!isPresent(lo)) return;
              const other = whatDiffers(address, [level, userLow, userHigh], [kernelLevel, lo, hi]);
              if (other)
                verdict.fail(
                  `0x${address.toString(16)} of ${whose}: the user half maps it with another ${other} than the kernel's half`,
                );
            },
          });
        }
      }
    },
  },
];
