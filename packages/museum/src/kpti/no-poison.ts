/** kpti-no-poison: user slots are executable in the kernel's half. */
import { overlay } from "@kreplica/di";
import { isPresent, NO_EXECUTE, tableIndex } from "@kreplica/hw-x86/api";
import { AddressSpaces, eachNewSpace, KernelLayout, TableMemory } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { mmap, run, spawn, touch } from "../steps.js";

export const NO_POISON: Bug = {
  id: "kpti-no-poison",
  room: "KPTI and LDT",
  sentence: "user slots are executable in the kernel's half of a pair",
  happened:
    "A path out of the kernel that forgets to change CR3 would run user code on the kernel's tables, unnoticed. KPTI poisons user slots of the kernel's half with NX, so that it shows; where entries are copied or made otherwise, the poison is lost, or bites somebody who needs them (tboot's identity mapping).",
  mended:
    "In 4.15 (December 2017) with KPTI itself; boot code that runs on such a slot takes the poison away for itself.",
  commits: [],
  invariant: "C7",
  kernel: { pti: true },
  path: [spawn(), mmap(0, 1), run(2), touch(2, 0)],
  copies: { without: "C7", with: "C7", words: "The same in each node's pair." },
  overlays: [
    overlay(AddressSpaces, (spaces, get) => {
      const [entries, layout] = [get(TableMemory), get(KernelLayout)];
      return eachNewSpace(spaces, (space) => {
        const set = space.set.bind(space);
        space.set = (address, mapping, node) => {
          const done = set(address, mapping, node);
          const slot = tableIndex(address, layout.levels);
          for (const each of slot < 256 ? space.pgdNodes : []) {
            const [lo, hi] = [entries.low(space.pgd(each), slot), entries.high(space.pgd(each), slot)];
            if (isPresent(lo)) entries.write(space.pgd(each), slot, lo, (hi & ~NO_EXECUTE) >>> 0);
          }
          return done;
        };
      });
    }),
  ],
};
