/** vfree-alias-range: the flush after a protected area is freed has the wrong range of the direct map. */
import { overlay } from "@kreplica/di";
import { AliasFlush } from "@kreplica/vmalloc/api";
import type { Bug } from "../bug.js";

export const ALIAS_RANGE: Bug = {
  id: "vfree-alias-range",
  room: "vmalloc",
  sentence: "the flush after a protected area is freed misses pages of the direct map",
  happened:
    "Freeing an area with rights of its own resets the direct map's view of its pages, and one flush covers the area and all those views. The range of the views was computed wrongly, and CPUs kept read-only or writable translations of pages that had new owners; sparc64 machines did not boot.",
  mended: "In 5.2 (May and June 2019) start and end are taken from the pages as they are.",
  commits: [
    { id: "8e41f8726dcf", subject: "mm/vmalloc: Fix calculation of direct map addr range" },
    { id: "31e67340cc65", subject: "mm/vmalloc: Avoid rare case of flushing TLB with weird arguments" },
  ],
  invariant: "E6",
  kernel: {},
  path: [
    { op: "area", node: 0, pages: 1, where: "window", base: "local" },
    { op: "areaseal", area: 0, as: "read-only" },
    { op: "areaalias", area: 0, cpu: 2, copy: 0 },
    { op: "areafree", area: 0 },
  ],
  copies: {
    without: "E6",
    with: "E6",
    words: "Worse: the series forgets the copies in the same place (its D7), so that their views stay as well.",
  },
  overlays: [overlay(AliasFlush, (): AliasFlush => ({ framesToFlush: () => [] }))],
};
