/** switch-before-bit: a CPU uses a PGD before others can see that it does. */
import { overlay } from "@kreplica/di";
import { SwitchMm } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { mmap, readOnly, run, spawn, touch } from "../steps.js";
import { switcherBooks } from "./switcher-books.js";

export const CPUMASK: Bug = {
  id: "switch-before-bit",
  room: "lazy TLB and PCIDs",
  sentence: "a CPU walks a PGD before its bit in the space's mask can be seen",
  happened:
    "switch_mm sets the CPU's bit in the space's mask and loads CR3; flushes look at the mask. Without a barrier between the two and on the flusher's side, a CPU could fill its TLB from an entry that another was changing, and the other not see the bit: no flush came (CVE-2016-2069).",
  mended: "In 4.5 (January 2016) barriers order the mask before the first walk, and stores to tables before the look.",
  commits: [{ id: "71b3c126e611", subject: "x86/mm: Add barriers and document switch_mm()-vs-flush synchronization" }],
  invariant: "G12",
  kernel: {},
  path: [spawn(), mmap(0, 1), run(2), touch(2, 0), readOnly(0, 1)],
  copies: { without: "G12", with: "G12", words: "The same; PGDs of a node have no mask of their own." },
  overlays: [
    overlay(SwitchMm, (switcher) => {
      const { cpus } = switcherBooks(switcher);
      // A bit is seen from the CPU's next kernel thread on.
      const unseen = new Set<number>();
      const switchTo = switcher.switchTo.bind(switcher);
      switcher.switchTo = (cpu, space) => {
        const written = switchTo(cpu, space);
        if (written) unseen.add(cpu);
        return written;
      };
      const idle = switcher.idle.bind(switcher);
      switcher.idle = (cpu) => {
        unseen.delete(cpu);
        idle(cpu);
      };
      const flush = switcher.flush.bind(switcher);
      switcher.flush = (space, range, freed, from) => {
        const passed = [...unseen].map((cpu) => cpus.get(cpu)!).filter((book) => book.space === space);
        for (const book of passed) book.space = undefined;
        flush(space, range, freed, from);
        for (const book of passed) book.space = space;
      };
      return switcher;
    }),
  ],
};
