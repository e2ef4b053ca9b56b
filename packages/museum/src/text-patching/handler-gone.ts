/** int3-handler-gone: the list of sites is emptied while a CPU is on its way to look at it. */
import { overlay } from "@kreplica/di";
import { TextPoke } from "@kreplica/text-patch/api";
import type { Bug } from "../bug.js";

export const HANDLER_GONE: Bug = {
  id: "int3-handler-gone",
  room: "text patching",
  sentence: "a CPU that met the INT3 of a patch finds nobody who knows it",
  happened:
    "The handler finds the site in a list that the patching CPU empties when it is done. A CPU that took the trap just before looked when the list was gone: a null pointer, or an INT3 that nobody owns.",
  mended:
    "In 5.6 (December 2019) first one more synchronisation, then a count of handlers under way that the patching CPU waits for.",
  commits: [
    { id: "1f676247f36a", subject: "x86/alternatives: Implement a better poke_int3_handler() completion scheme" },
    { id: "285a54efe386", subject: "x86/alternatives: Sync bp_patching update for avoiding NULL pointer exception" },
  ],
  invariant: "P4",
  kernel: {},
  path: [
    { op: "execute", cpu: 0, steps: 2 },
    { op: "patch", change: "key", nth: 0, cpu: 0 },
  ],
  copies: {
    with: "P4",
    words:
      "Worse: the last bytes take as many stores as there are copies. Of fourteen ways to begin this path six meet the bug with a copy a node, two others with a single copy.",
  },
  overlays: [
    overlay(TextPoke, (poke) => {
      let last = false;
      const breakpoint = poke.breakpoint.bind(poke);
      poke.breakpoint = (address) => (last ? undefined : breakpoint(address));
      const batchSteps = poke.batchSteps.bind(poke);
      poke.batchSteps = function* (items) {
        for (const step of batchSteps(items)) {
          last = step.phase === "first";
          yield step;
        }
        last = false;
      };
      return poke;
    }),
  ],
};
