/**
 * Group G, second half: what CPUs have cached of page tables, against the tables and against what the kernel's rules
 * let them keep.
 */
import type { CpuId } from "@kreplica/hw-x86/api";
import { CachedReader, type CachedRule } from "./cached-reader.js";
import type { Invariant, Verdict } from "./invariant.js";
import type { Subject } from "./subject.js";

/** Looks at all CPUs for one of the rules that a {@link CachedReader} knows. */
const onEveryCpu =
  (rule: CachedRule) =>
  (subject: Subject, verdict: Verdict): void => {
    if (!subject.isPast("smp-init")) return verdict.skip();
    const { kernel } = subject;
    const reader = new CachedReader(kernel);
    for (const cpu of kernel.cpus.online as Iterable<CpuId>)
      reader.look(cpu, (id, detail) => {
        if (id === rule) verdict.fail(detail);
      });
  };

export const CACHED: readonly Invariant<Subject>[] = [
  {
    id: "G12",
    when: "after bring-up",
    where: ["state", "run"],
    sentence:
      "each translation a CPU has cached and may still use says what the tables of its root say (of any holder's, where it is global): the same frame and size, " +
      "no right, D or G that they do not give; unless its CPU is lazy and missed a flush, or the change is of a batch not yet flushed",
    check: onEveryCpu("G12"),
  },
  {
    id: "G13",
    when: "after bring-up",
    where: ["state", "run"],
    sentence:
      "each paging-structure entry a CPU may still use names the table that the tables of its root name, with no " +
      "right that they do not give; a lazy CPU's may be out of date, and yet names no table that was given back",
    check: onEveryCpu("G13"),
  },
  {
    id: "G14",
    when: "after bring-up",
    where: ["state", "run"],
    sentence: "nothing that was cached under a PCID outlives the loading of another root under it",
    check: onEveryCpu("G14"),
  },
];
