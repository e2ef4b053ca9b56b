/** Checks every invariant that a kernel at rest reaches, from the machine's own bytes. */
import { inOrder, KERNEL_INVARIANTS } from "./catalogue.js";
import type { Invariant, InvariantReport } from "./invariant.js";
import { report } from "./look.js";
import { type CheckedKernel, Subject } from "./subject.js";

/** What is checked beside, or in place of, this package's own rows. */
export interface Rows {
  /** Rows about a kernel at rest: {@link KERNEL_INVARIANTS}, unless said. */
  readonly rows?: readonly Invariant<Subject>[];
  /** Rows about something else, which are named as not reached. */
  readonly others?: readonly Invariant<never>[];
}

/**
 * @param only ids to check; all when absent
 * @returns each invariant once, in the order of the list: checked, or not reached; those that do not hold in `violated`
 *   too
 * @throws RangeError when two rows have one id
 */
export function checkInvariants(
  kernel: CheckedKernel,
  only?: readonly string[],
  { rows = KERNEL_INVARIANTS, others = [] }: Rows = {},
): InvariantReport {
  // What looks at something else than a kernel is named alone.
  const named = others.map(({ id, sentence, when, where }): Invariant<Subject> => ({ id, sentence, when, where }));
  const all = inOrder([...rows, ...named]);
  return report(only ? all.filter(({ id }) => only.includes(id)) : all, new Subject(kernel));
}
