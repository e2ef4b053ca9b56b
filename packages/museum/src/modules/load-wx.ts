/** module-load-wx: a module's text is executable while it is still writable. */
import { overlay } from "@kreplica/di";
import { StrictPermissions } from "@kreplica/modules/api";
import { SetMemory } from "@kreplica/set-memory/api";
import type { Bug } from "../bug.js";

export const LOAD_WX: Bug = {
  id: "module-load-wx",
  room: "modules",
  sentence: "a module's text is writable and executable at once",
  happened:
    "module_alloc gave memory with every right, so that the loader could write code and then run it; rights were taken away last. For a moment, and for good where that step failed, text could be written and run.",
  mended:
    "In 5.2 (April 2019) memory for modules and BPF comes without the right to execute, which is given when it is read-only.",
  commits: [{ id: "f2c65fb3221a", subject: "x86/modules: Avoid breaking W^X while loading modules" }],
  invariant: "C1",
  kernel: {},
  path: [{ op: "modload", module: 0, node: 0 }],
  copies: { without: "C1", with: "C1", words: "Worse by their number: each node's copy is writable." },
  overlays: [
    overlay(StrictPermissions, (permissions, get) => {
      const memory = get(SetMemory);
      permissions.protect = ({ memories }) => {
        for (const { type, area } of memories.values())
          if (type === "text" || type === "init-text") memory.executable({ start: area.start, pages: area.pages });
      };
      return permissions;
    }),
  ],
};
