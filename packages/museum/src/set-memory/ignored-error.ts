/** set-memory-ignored: set_memory fails for want of a table, and nobody looks. */
import type { Bug } from "../bug.js";
import { afterRefusal } from "./after-refusal.js";

export const IGNORED_ERROR: Bug = {
  id: "set-memory-ignored",
  room: "set_memory",
  sentence: "set_memory is refused for want of a page table, and its caller goes on",
  happened:
    "Splitting a large page takes a table, which may not be had. Loaders of BPF programs and modules took no notice of the result: what they believed read-only was writable.",
  mended: "From 6.10 and 6.11 (2024) the results are looked at, and the program is refused.",
  commits: [
    { id: "7d2cc63eca0c", subject: "bpf: Take return from set_memory_ro() into account with bpf_prog_lock_ro()" },
  ],
  invariant: "B6",
  kernel: {},
  path: [
    { op: "refuse", nth: 1 },
    { op: "setmem", change: "ro", page: 0, pages: 1 },
  ],
  copies: {
    without: "B6",
    with: "B6",
    words: "Worse: a split takes a table on every holder, so that it can be refused as many times.",
  },
  overlays: [
    // Nothing is done about it: the caller goes on as if the pages were read-only.
    afterRefusal(() => undefined),
  ],
};
