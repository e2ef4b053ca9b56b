/** module-not-executable: a module's text never becomes executable. */
import { overlay } from "@kreplica/di";
import { StrictPermissions } from "@kreplica/modules/api";
import { SetMemory } from "@kreplica/set-memory/api";
import type { Bug } from "../bug.js";

export const NEVER_EXECUTABLE: Bug = {
  id: "module-not-executable",
  room: "modules",
  sentence: "a module's text never gets the right to execute",
  happened:
    "Once memory for modules came without that right, somebody had to give it. The place was inside what rodata=off switches off: with that option every module faulted at its first instruction.",
  mended: "In 5.3 (2019) the right is given whether or not the rest is protected.",
  commits: [
    { id: "2eef1399a866", subject: "modules: fix BUG when load module with rodata=n" },
    { id: "f2c65fb3221a", subject: "x86/modules: Avoid breaking W^X while loading modules" },
  ],
  invariant: "C1",
  kernel: {},
  path: [{ op: "modload", module: 0, node: 0 }],
  copies: { without: "C1", with: "C1", words: "The same on every node." },
  overlays: [
    overlay(StrictPermissions, (permissions, get) => {
      const memory = get(SetMemory);
      permissions.protect = ({ memories }) => {
        for (const { type, area } of memories.values())
          if (type === "text" || type === "init-text") memory.readOnly({ start: area.start, pages: area.pages });
      };
      return permissions;
    }),
  ],
};
