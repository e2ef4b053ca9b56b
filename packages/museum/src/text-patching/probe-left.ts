/** probe-in-dead-module: a probe outlives the module whose text it sits in. */
import { overlay } from "@kreplica/di";
import { TextUsers } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";

export const PROBE_LEFT: Bug = {
  id: "probe-in-dead-module",
  room: "text patching",
  sentence: "a probe outlives the module it sits in, and later writes its byte into the next one",
  happened:
    "A probe keeps an address. When the module went, nobody told the probe: taking it away wrote the byte it had saved into whatever lay there by then.",
  mended:
    "In 2.6.30 (2009) probes listen to modules: those in text that goes are marked gone, and never written again.",
  commits: [{ id: "e8386a0cb22f", subject: "kprobes: support probing module __exit function" }],
  invariant: "P14",
  kernel: {},
  path: [
    { op: "modload", module: 0, node: 0 },
    { op: "modprobe", module: 0 },
    { op: "modunload", module: 0 },
  ],
  copies: {
    without: "P14",
    with: "P14",
    words: "Worse by their number: the stray byte goes into each copy of the next owner.",
  },
  overlays: [
    overlay(TextUsers, (users) => {
      users.release = () => undefined;
      return users;
    }),
  ],
};
