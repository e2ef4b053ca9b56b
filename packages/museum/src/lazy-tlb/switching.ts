/** mid-switch-window: a CPU in the middle of a switch is passed over by a flush. */
import { overlay } from "@kreplica/di";
import { SwitchMm, TableMemory } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { mmap, munmap, run, spawn, touch } from "../steps.js";
import { switcherBooks } from "./switcher-books.js";

export const SWITCHING: Bug = {
  id: "mid-switch-window",
  room: "lazy TLB and PCIDs",
  sentence: "a flush passes over a CPU that is in the middle of its switch to the space",
  happened:
    "A CPU on its way to an address space had loaded CR3 already and was not yet down as running it. A flush that looked just then left it out, and nothing made up for it: the CPU kept translations of pages that were gone (CVE-2025-37964).",
  mended: "In 6.15 (2025) a CPU that says it is switching is flushed like one that runs the space.",
  commits: [{ id: "fea4e317f9e7", subject: "x86/mm: Eliminate window where TLB flushes may be inadvertently skipped" }],
  invariant: "G12",
  kernel: {},
  path: [
    spawn(),
    mmap(0, 2),
    run(2),
    touch(2, 0),
    touch(2, 1),
    spawn(),
    run(2, 1),
    { op: "between", during: munmap(0, 1), store: 1, second: run(2) },
  ],
  copies: { without: "G12", with: "G12", words: "The same: the window is in a CPU's own switch." },
  overlays: [
    overlay(SwitchMm, (switcher, get) => {
      const entries = get(TableMemory);
      const { cpus, generations } = switcherBooks(switcher);
      // Whoever switches while tables are being changed is still switching when the flush looks.
      const at = new Map<number, number>();
      const switchTo = switcher.switchTo.bind(switcher);
      switcher.switchTo = (cpu, space) => {
        const written = switchTo(cpu, space);
        at.set(cpu, entries.stores);
        return written;
      };
      const flush = switcher.flush.bind(switcher);
      switcher.flush = (space, range, freed, from) => {
        const passed = [...cpus].filter(([cpu, book]) => book.space === space && at.get(cpu) === entries.stores);
        for (const [, book] of passed) book.space = undefined;
        flush(space, range, freed, from);
        for (const [, book] of passed) {
          book.space = space;
          book.generations[book.slot] = generations.get(space) ?? 1;
        }
      };
      return switcher;
    }),
  ],
};
