/** huge-split-flush: a huge page is split and its large translation stays beside the small ones. */
import { overlay } from "@kreplica/di";
import { AddressSpaces, eachNewSpace, SwitchMm } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { mmap, run, spawn, touch } from "../steps.js";

export const SPLIT: Bug = {
  id: "huge-split-flush",
  room: "user memory and NUMA",
  sentence: "a huge page is split and its large translation is left beside the small ones",
  happened:
    "Processors may raise a machine check when one address has translations of two sizes; errata of both makers say so. Whoever splits a huge page has to make its entry absent and flush before the table of small ones is linked. Here nothing is flushed, and other CPUs keep the large translation.",
  mended:
    "Linux has split in that order since transparent huge pages came (2.6.38, 2011); the comment there tells why.",
  commits: [{ subject: "thp: transparent hugepage core" }],
  invariant: "G12",
  kernel: {},
  path: [
    spawn(),
    mmap(0, 512, { large: true }),
    run(2),
    touch(2, 0),
    { op: "mlock", p: 0, cpu: 0, page: 0, pages: 1, on: false },
  ],
  copies: { without: "G12", with: "G12", words: "The same: user pages have no copies." },
  overlays: [
    overlay(AddressSpaces, (spaces, get) => {
      let switcher: SwitchMm | undefined;
      return eachNewSpace(spaces, (space) => {
        const splitLarge = space.splitLarge.bind(space);
        space.splitLarge = (...where) => {
          switcher ??= get(SwitchMm);
          const flush = switcher.flush.bind(switcher);
          const own = switcher;
          // The flush between the leaf and the table.
          own.flush = () => {
            own.flush = flush;
          };
          return splitLarge(...where);
        };
      });
    }),
  ],
};
