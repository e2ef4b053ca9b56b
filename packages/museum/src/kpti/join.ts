/** join-user-half: small leaves become a large one in the kernel's half alone, and their table is freed. */
import { entryLow, entryHigh } from "@kreplica/hw-x86/api";
import { overlay } from "@kreplica/di";
import { TableMemory, ReplicaView, KernelLayout, walk } from "@kreplica/mm-core/api";
import { SetMemory } from "@kreplica/set-memory/api";
import type { Bug } from "../bug.js";

export const JOIN: Bug = {
  id: "join-user-half",
  room: "KPTI and LDT",
  sentence: "a table is freed that the user half of a pair still names",
  happened:
    "Where small leaves are joined into a large one, their table goes. Under KPTI the entry to that table was copied into the user half of each pair: who writes the large leaf into the kernel's half alone leaves user mode, and every entry to the kernel, on a table that is free and soon somebody's page. Linux splits only until 6.14; where it joins, the question is the same.",
  mended:
    "This model did it wrong and was mended; in Linux 6.14 (2025) joining came with the pages of modules, which no user half maps.",
  commits: [{ id: "41d88484c71c", subject: "x86/mm/pat: restore large ROX pages after fragmentation" }],
  invariant: "B11",
  kernel: { pti: true },
  path: [{ op: "entrysplit", page: 0 }, { op: "entryjoin" }],
  copies: {
    without: "B11",
    with: "B11",
    words: "Worse by their number: each holder's pair has a user half of its own to forget.",
  },
  overlays: [
    overlay(SetMemory, (memory, get) => {
      const [entries, view, layout] = [get(TableMemory), get(ReplicaView), get(KernelLayout)];
      const join = memory.join.bind(memory);
      memory.join = (range) => {
        const halves = layout.pti ? [...new Set(view.roots.map(({ root }) => root + 1))] : [];
        const before = halves.flatMap((root) => {
          const small = walk(entries.memory, root, layout.levels, range.start);
          return small.present && small.level === 1 ? [{ root, table: small.table }] : [];
        });
        const result = join(range);
        for (const { root, table } of before) {
          const { table: upper, index, level } = walk(entries.memory, root, layout.levels, range.start);
          if (level === 2) entries.write(upper, index, entryLow(table, 0x67), entryHigh(table, false));
        }
        return result;
      };
      return memory;
    }),
  ],
};
