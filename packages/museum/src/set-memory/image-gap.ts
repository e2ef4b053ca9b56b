/** image-gap-executable: the rest of a large page of the image is writable and executable. */
import { imageAddress } from "@kreplica/mm-core/api";
import { imageChanged } from "../boot-changes.js";
import type { Bug } from "../bug.js";

export const IMAGE_GAP: Bug = {
  id: "image-gap-executable",
  room: "set_memory",
  sentence: "what lies behind a section of the image, up to the next large page, is writable and executable",
  happened:
    "The image was mapped by large pages with the rights of its text, and sections end where they end: the rest of each 2 MiB, and the brk behind it, could be written and executed.",
  mended: "From 3.18 and 4.x on the gaps are made not executable, or are freed.",
  commits: [{ subject: "x86_64, mm: Set NX across entire PMD at boot" }],
  invariant: "C1",
  kernel: {},
  path: [],
  copies: {
    without: "C1",
    with: "C1",
    words: "Worse by their number: each holder's tables have the gap, for the same frames.",
  },
  overlays: [
    imageChanged(
      "mark-rodata-ro",
      (image, layout) => ({ start: imageAddress(layout, image.symbol("__brk_base")!), pages: 1 }),
      { executable: true, writable: true },
      "the gap stays executable",
    ),
  ],
};
