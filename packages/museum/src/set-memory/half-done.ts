/** set-memory-half-done: a refused change leaves what it had done so far. */
import type { Bug } from "../bug.js";
import { afterRefusal } from "./after-refusal.js";

export const HALF_DONE: Bug = {
  id: "set-memory-half-done",
  room: "set_memory",
  sentence: "a change of several pages is refused in the middle and leaves the first ones changed",
  happened:
    "set_memory goes leaf by leaf. When the split of a later one is refused it returns an error and leaves the earlier ones as they are by then; a caller that frees the range hands out pages whose direct-map view is read-only or absent.",
  mended:
    "Not mended as such: callers are told to treat the range as spoilt (see the comments in arch/x86/mm/pat/set_memory.c).",
  commits: [],
  invariant: "C5",
  kernel: {},
  path: [
    { op: "refuse", nth: 1 },
    { op: "setmem", change: "ro", page: 0, pages: 2 },
  ],
  copies: { without: "C5", with: "C5", words: "Worse: with a copy a node, half done means that nodes disagree." },
  overlays: [
    afterRefusal((memory, range, error) => {
      memory.change({ ...range, pages: 1 }, { writable: false }, true);
      throw error;
    }),
  ],
};
