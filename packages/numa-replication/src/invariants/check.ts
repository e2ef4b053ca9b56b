/** Checks every invariant this kernel reaches, from the machine's own bytes. */
import { INVARIANTS } from "./catalogue.js";
import { CPU_CHECKS } from "./check-cpus.js";
import { ORDER_CHECKS } from "./check-order.js";
import { PATCHING_CHECKS } from "./check-patching.js";
import { PLACEMENT_CHECKS } from "./check-placement.js";
import { PROTECTION_CHECKS } from "./check-protection.js";
import { SPACE_CHECKS } from "./check-spaces.js";
import { TABLE_CHECKS } from "./check-tables.js";
import type { InvariantReport, Violation } from "./invariant.js";
import { type CheckedKernel, Subject } from "./subject.js";

const CHECKS = { ...PLACEMENT_CHECKS, ...TABLE_CHECKS, ...PROTECTION_CHECKS, ...PATCHING_CHECKS, ...SPACE_CHECKS, ...CPU_CHECKS, ...ORDER_CHECKS };

/**
 * @param only ids to check; all when absent
 * @returns each invariant once: checked, or not reached; those that do not hold in `violated` too
 */
export function checkInvariants(kernel: CheckedKernel, only?: readonly string[]): InvariantReport {
  const subject = new Subject(kernel);
  const checked: string[] = [];
  const notReached: string[] = [];
  const violated: Violation[] = [];
  for (const { id, sentence } of INVARIANTS) {
    if (only && !only.includes(id)) continue;
    const check = CHECKS[id];
    let first: string | undefined;
    let places = 0;
    let skipped = check === undefined;
    check?.(subject, {
      fail(detail) { first ??= detail; places++; },
      skip() { skipped = true; },
    });
    (skipped ? notReached : checked).push(id);
    if (first !== undefined) violated.push({ id, sentence, detail: places > 1 ? `${first} (and ${places - 1} more)` : first });
  }
  return { checked, violated, notReached };
}
