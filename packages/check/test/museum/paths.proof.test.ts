/**
 * Every bug of the museum: its path ends in the invariant that is said to catch it, with copies and without as is said,
 * and the same path is clean on a kernel that does not have it. No step of most can be left out.
 */
import { BUGS } from "@kreplica/museum";
import { expect, test } from "vitest";
import { familiesOfBug, kernelOfBug } from "../../src/bugs.js";
import { failureOf } from "../../src/campaign.js";
import { asSaid } from "./as-said.js";

/** As the report tells it, with a step that the rule does not need: the process runs where the report has it run. */
const TOLD_LONGER: ReadonlySet<string> = new Set([
  "switch-before-bit",
  "lazy-freed-tables",
  "global-invlpg",
  "lazy-missed-flush",
  "kpti-kernel-pcid-only",
  "recycled-mm",
  "mid-switch-window",
  "zapped-pmd-range",
  "join-user-half",
  "kpti-no-poison",
  "vmap-stale-purge",
  "poke-alias-stale",
  "probe-slot-wx",
  "online-stale-tlb",
  "cow-stale-write",
  "mprotect-pending-flush",
  "mremap-flush",
  "unmap-late-flush",
  "huge-split-flush",
]);

test.each(BUGS.map((bug) => [bug.id, bug] as const))("%s", (_id, bug) => {
  asSaid(bug);
  const left = bug.path.filter((_step, gone) => {
    const shorter = bug.path.filter((_each, at) => at !== gone);
    return failureOf(kernelOfBug(bug, true), shorter, "off", familiesOfBug(bug))?.invariant === bug.invariant;
  });
  if (TOLD_LONGER.has(bug.id)) expect(left.length, "no step can be left out: no exception any more").toBeGreaterThan(0);
  else expect(left, "steps that can be left out").toEqual([]);
});
