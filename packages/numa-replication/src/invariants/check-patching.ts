/** D-14: nobody keeps an address of text that is gone, where the next owner's bytes would be taken for code, or written over. */
import { lookup } from "@kreplica/mm-core/api";
import type { Verdict } from "./invariant.js";
import type { Subject } from "./subject.js";

export const PATCHING_CHECKS: Readonly<Record<string, (subject: Subject, verdict: Verdict) => void>> = {
  "D-14": (subject, verdict) => {
    const { textUsers, entries, layout } = subject.kernel;
    if (!textUsers) return verdict.skip();
    for (const { name, sites } of [...textUsers.all].map((user) => ({ name: user.name, sites: [...user.sites()] }))) {
      for (const site of sites) {
        for (const node of subject.holders) {
          const leaf = lookup(entries.memory, subject.root(node), layout.levels, site);
          if (!leaf?.executable) verdict.fail(`${name} keeps 0x${site.toString(16)}, where node ${node} has ${leaf ? "no code" : "nothing"}`);
        }
      }
    }
  },
};
