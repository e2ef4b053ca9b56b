/**
 * Group P: patching, as far as CPUs, probes, a boot or a kernel at rest show it. What shows in text as it is patched
 * has text-patch.
 */
import { endOf, hex } from "@kreplica/hw-x86/api";
import { lookup } from "@kreplica/mm-core/api";
import type { Invariant } from "./invariant.js";
import { staleInstructions } from "./stale-instructions.js";
import type { Subject } from "./subject.js";

export const PATCHING: readonly Invariant<Subject>[] = [
  {
    id: "P4",
    when: "runtime",
    where: ["run"],
    sentence:
      "a CPU on any node executing a site being patched either runs old code, takes INT3 and is emulated, " +
      "or runs new code",
  },
  {
    id: "P8",
    when: "boot",
    where: ["run"],
    sentence:
      "patches applied before step 7 appear in all replicas (inherited by copy); patches between 7 and 15 " +
      "appear in all text replicas",
  },
  {
    id: "P9",
    when: "boot",
    where: ["run"],
    sentence: ".init.text patches touch only the single copy",
  },
  {
    id: "P10",
    when: "runtime",
    where: ["run"],
    sentence: "kprobe arm on node a, hit on node b ⇒ handler runs; disarm restores original bytes in all replicas",
  },
  {
    id: "P13",
    when: "any",
    where: ["run"],
    sentence:
      "numa_addr_in_replica fails for addresses outside TEXT, for non-replica nodes, and after pointers " +
      "were cleared",
  },
  {
    id: "P14",
    when: "always",
    where: ["state", "run"],
    sentence:
      "every address of text that a probe, a traced function, a static key or call, a live patch, a " +
      "breakpoint or a patch under way keeps is mapped and executable on every node",
    check(subject, verdict) {
      const { textUsers, entries, layout } = subject.kernel;
      if (!textUsers) return verdict.skip();
      for (const { name, sites } of [...textUsers.all].map((user) => ({ name: user.name, sites: [...user.sites()] }))) {
        for (const site of sites) {
          for (const node of subject.holders) {
            const leaf = lookup(entries.memory, subject.root(node), layout.levels, site);
            if (!leaf?.executable)
              verdict.fail(`${name} keeps ${hex(site)}, where node ${node} has ${leaf ? "no code" : "nothing"}`);
          }
        }
      }
    },
  },
  {
    id: "P15",
    when: "always",
    where: ["state", "run"],
    sentence:
      "between patches, and when a synchronisation of one returns, no CPU on line keeps instruction bytes that " +
      "the kernel's text no longer holds: whoever changes code that others execute makes each of them serialise",
    check(subject, verdict) {
      const { machine, cpus, patchedNow = [] } = subject.kernel;
      const { text } = subject;
      const counts = (at: bigint): boolean =>
        at >= text.start && at < endOf(text) && !patchedNow.some((patch) => at >= patch.start && at < patch.end);
      const keeping = [...cpus.online].filter((cpu) => machine.cpu(cpu).fetched);
      if (keeping.length === 0) return verdict.skip();
      for (const cpu of keeping)
        for (const stale of staleInstructions(subject.kernel, cpu, counts)) verdict.fail(stale);
    },
  },
];
