/** module-ro-after-init: data that is written by init alone stays writable. */
import { overlay } from "@kreplica/di";
import { StrictPermissions } from "@kreplica/modules/api";
import type { Bug } from "../bug.js";

export const AFTER_INIT: Bug = {
  id: "module-ro-after-init",
  room: "modules",
  sentence: "data that only a module's init writes stays writable after it",
  happened:
    "Constants that init fills in were protected in the kernel's image and not in modules: function pointers that never change again could be changed.",
  mended: "In 4.8 (July 2016) modules got such a part, sealed when init has run.",
  commits: [{ id: "444d13ff10fb", subject: "modules: add ro_after_init support" }],
  invariant: "C1",
  kernel: {},
  path: [
    { op: "modload", module: 0, node: 0 },
    { op: "modlive", module: 0 },
  ],
  copies: { without: "C1", with: "C1", words: "The same: that part is never copied." },
  overlays: [
    overlay(StrictPermissions, (permissions) => {
      permissions.sealAfterInit = () => undefined;
      return permissions;
    }),
  ],
};
