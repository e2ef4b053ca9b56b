/**
 * Group C, where memory is encrypted: the bit that says so, in CR3, in what leads to tables and in leaves, in every
 * tree that a CPU can load.
 */
import { ALL_PAGES, entryPages, type Frame, hex, leafFrame, NONE, walkRange } from "@kreplica/hw-x86/api";
import type { Invariant, Verdict } from "./invariant.js";
import { everyRoot } from "./reach.js";
import type { Subject } from "./subject.js";

/** Frames of the interrupt controllers' registers, which fixmap maps wherever memory lies. */
const CONTROLLERS: readonly Frame[] = [0xfec00, 0xfee00];

/** How many frames of a leaf are shared. */
function sharedWithin(shared: ReadonlySet<Frame>, first: Frame, pages: number): number {
  if (pages === 1) return shared.has(first) ? 1 : 0;
  let count = 0;
  for (const frame of shared) if (frame >= first && frame < first + pages) count++;
  return count;
}

function everyEntry(subject: Subject, shared: ReadonlySet<Frame>, verdict: Verdict): void {
  const { entries, layout } = subject.kernel;
  const { memory, encryption } = entries;
  const isSet = (hi: number): boolean => (hi & encryption) !== 0;
  const seen = new Set<Frame>();
  const leaf = (whose: string, address: bigint, level: 1 | 2 | 3, lo: number, hi: number): void => {
    const first = leafFrame(lo, hi, level);
    const pages = entryPages(level);
    const isDevice = memory.nodeOf(first) === NONE || (address >= layout.fixmapStart && CONTROLLERS.includes(first));
    const open = isDevice ? pages : sharedWithin(shared, first, pages);
    if (open === (isSet(hi) ? 0 : pages)) return;
    const what = `${whose}: the level-${level} leaf at ${hex(address)} has the encryption bit ${isSet(hi) ? "set" : "clear"}`;
    const frames = pages === 1 ? `frame ${first}` : `frames ${first} to ${first + pages - 1}`;
    verdict.fail(
      isDevice
        ? `${what}, and no memory is behind frame ${first}`
        : `${what}, and of ${frames} ${open === 0 ? "none is" : `${open} ${open === 1 ? "is" : "are"}`} shared`,
    );
  };
  everyRoot(subject, (root, name) => {
    if (seen.has(root)) return;
    seen.add(root);
    walkRange(memory, root, layout.levels, ALL_PAGES, {
      table(address, level, lower, _table, _index, _lo, hi) {
        if (!isSet(hi))
          verdict.fail(
            `${name()}: the level-${level} entry at ${hex(address)} leads to table ${lower} without the encryption bit`,
          );
        // Tables met before say what they said.
        if (seen.has(lower)) return false;
        seen.add(lower);
        return true;
      },
      leaf(address, level, lo, hi) {
        leaf(name(), address, level, lo, hi);
      },
    });
  });
}

export const ENCRYPTION: readonly Invariant<Subject>[] = [
  {
    id: "C9",
    when: "memory is encrypted",
    where: ["state", "run"],
    sentence:
      "where memory is encrypted, CR3 of every CPU and every entry that leads to a table have the encryption bit, and " +
      "a leaf has it exactly if its frames are private memory, in both halves of every root; no free frame is shared",
    check(subject, verdict) {
      const { entries, machine, cpus, allocator, sharedMemory } = subject.kernel;
      if (entries.encryption === 0) return verdict.skip();
      const shared = sharedMemory?.frames ?? new Set<Frame>();
      const bit = entries.cr3(0);
      for (const cpu of cpus.online)
        if ((machine.cpu(cpu).cr3 & bit) === 0n) verdict.fail(`CR3 of CPU ${cpu} has no encryption bit`);
      for (const frame of shared)
        if (allocator.purposeOf(frame) === "free") verdict.fail(`frame ${frame} is free, and shared still`);
      everyEntry(subject, shared, verdict);
    },
  },
];
