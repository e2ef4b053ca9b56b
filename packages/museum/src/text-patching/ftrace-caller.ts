/** ftrace-caller-torn: a call that others execute is written whole. */
import { overlay } from "@kreplica/di";
import { TextPoke } from "@kreplica/text-patch/api";
import type { Bug } from "../bug.js";

export const FTRACE_CALLER: Bug = {
  id: "ftrace-caller-torn",
  room: "text patching",
  sentence: "a call is switched by storing all of it, without an INT3 and without a synchronisation",
  happened:
    "Traced functions had gone over to the INT3; the call in the tracer's own trampoline, which all of them execute, was still stored as before SMP is up. Another CPU that executed it meanwhile ran half of each target: a general protection fault.",
  mended: "In 3.5 (May 2012) that call is switched by way of the INT3 too.",
  commits: [{ id: "8a4d0a687a59", subject: "ftrace: Use breakpoint method to update ftrace caller" }],
  invariant: "P3",
  kernel: {},
  path: [{ op: "patch", change: "static-call", nth: 1, cpu: 0 }],
  copies: {
    with: "P3",
    without: "P3",
    words: "The same in each copy; a CPU runs its own node's only.",
  },
  overlays: [
    overlay(TextPoke, (poke) => {
      poke.batchSteps = function* (items) {
        for (const { address, bytes } of items) yield* poke.pokeSteps(address, bytes);
      };
      return poke;
    }),
  ],
};
