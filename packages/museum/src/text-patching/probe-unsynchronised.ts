/** probe-unsynchronised: a probe is armed and disarmed, and other CPUs go on with what they have fetched. */
import { overlay } from "@kreplica/di";
import { TextPoke } from "@kreplica/text-patch/api";
import type { Bug } from "../bug.js";

export const PROBE_UNSYNCHRONISED: Bug = {
  id: "probe-unsynchronised",
  room: "text patching",
  sentence: "no CPU is made to serialise after a probe's INT3 was written or taken back",
  happened:
    "Writing the byte says nothing of CPUs that have fetched the old one. A grace period does not either: a CPU can be through it without a serialising instruction. The jump of an optimised probe could be written while a CPU still had the old first byte, and a probe be freed while one still had its INT3.",
  mended: "In 5.5 (late 2019) arming and disarming end in an interrupt to every CPU.",
  commits: [{ id: "5c02ece81848", subject: "x86/kprobes: Fix ordering while text-patching" }],
  invariant: "P15",
  kernel: {},
  path: [{ op: "patch", change: "probe", nth: 0, cpu: 0 }],
  copies: {
    with: "P15",
    without: "P15",
    words: "The same: a CPU keeps what it has fetched, from whichever copy.",
  },
  overlays: [
    overlay(TextPoke, (poke) => {
      poke.synchronise = () => undefined;
      return poke;
    }),
  ],
};
