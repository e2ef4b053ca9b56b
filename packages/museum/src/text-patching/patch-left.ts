/** patch-in-dead-module: a module goes in the middle of a patch of its text. */
import { overlay } from "@kreplica/di";
import { TextUsers } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";

export const PATCH_LEFT: Bug = {
  id: "patch-in-dead-module",
  room: "text patching",
  sentence: "a module is unloaded in the middle of a patch of its text",
  happened:
    "A patch takes several rounds. Who frees the text between two of them has the rest written to the next owner's pages; tracing and live patching changed rights of module text with such a race against loading and each other.",
  mended: "In 5.2 (June 2019) whoever changes text or its rights does so under text_mutex.",
  commits: [{ id: "9f255b632bf1", subject: "module: Fix livepatch/ftrace module text permissions race" }],
  invariant: "P14",
  kernel: {},
  path: [
    { op: "modload", module: 0, node: 0 },
    { op: "modpatch", module: 0, step: 1 },
  ],
  copies: { without: "P14", with: "P14", words: "Worse: with more copies a patch is longer under way." },
  overlays: [
    overlay(TextUsers, (users) => {
      users.release = (ranges) => {
        for (const range of ranges) for (const user of users.all) user.forget(range);
      };
      return users;
    }),
  ],
};
