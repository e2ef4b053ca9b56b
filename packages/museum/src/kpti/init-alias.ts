/** init-left-mapped: freed parts of the image stay mapped where they were. */
import { imageRange } from "@kreplica/mm-core/api";
import { imageChanged } from "../boot-changes.js";
import type { Bug } from "../bug.js";

export const INIT_ALIAS: Bug = {
  id: "init-left-mapped",
  room: "KPTI and LDT",
  sentence: "init memory is given back and stays mapped, executable, at its address in the image",
  happened:
    "Pages of the image that are freed after boot have two addresses. Their view in the image stayed, with KPTI in user halves too: whatever the pages became next could be read there.",
  mended: "In 4.19 (August 2018) freeing a part of the image takes away its address there.",
  commits: [{ id: "c40a56a7818c", subject: "x86/mm/init: Remove freed kernel image areas from alias mapping" }],
  invariant: "C1",
  kernel: {},
  path: [],
  copies: {
    without: "C1",
    with: "C1",
    words: "The same: init text is not copied, and each node's tables keep the one view.",
  },
  overlays: [
    imageChanged(
      "free-initmem",
      (image, layout) => imageRange(layout, { start: image.initBegin, end: image.initEnd }),
      { present: true, writable: false, executable: true },
      "init text stays",
    ),
  ],
};
