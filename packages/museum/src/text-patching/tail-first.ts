/** tail-before-int3: the rest of an instruction is written before its first byte is a trap. */
import { overlay } from "@kreplica/di";
import { TextPoke } from "@kreplica/text-patch/api";
import type { Bug } from "../bug.js";

export const TAIL_FIRST: Bug = {
  id: "tail-before-int3",
  room: "text patching",
  sentence: "the tail of an instruction changes while its first byte is not a trap yet",
  happened:
    "When an optimised probe was taken back its jump became INT3 and the original's tail in one store. A store of five bytes is no single thing for other CPUs: they could run the jump's first byte with another's displacement.",
  mended: "In 5.5 (late 2019) the first byte becomes INT3, everybody synchronises, and then comes the tail.",
  commits: [{ id: "5c02ece81848", subject: "x86/kprobes: Fix ordering while text-patching" }],
  invariant: "P3",
  kernel: {},
  path: [{ op: "patch", change: "key", nth: 0, cpu: 0 }],
  copies: { without: "P3", with: "P3", words: "The same in each copy; a CPU runs its own node's only." },
  overlays: [
    overlay(TextPoke, (poke) => {
      const batchSteps = poke.batchSteps.bind(poke);
      poke.batchSteps = function* (items) {
        for (const { address, bytes } of items)
          if (bytes.length > 1) for (const step of poke.pokeSteps(address + 1n, bytes.subarray(1))) yield step;
        yield* batchSteps(items);
      };
      return poke;
    }),
  ],
};
