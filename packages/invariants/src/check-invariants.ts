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
  const all = others.length === 0 ? ordered(rows) : withNamed(rows, others);
  return report(only ? all.filter(({ id }) => only.includes(id)) : all, new Subject(kernel));
}

/** Rows by the list they came in: the same few lists are checked after every run of a campaign. */
const known = new WeakMap<readonly Invariant<Subject>[], readonly Invariant<Subject>[]>();

function ordered(rows: readonly Invariant<Subject>[]): readonly Invariant<Subject>[] {
  let all = known.get(rows);
  if (!all) known.set(rows, (all = inOrder(rows)));
  return all;
}

/** What looks at something else than a kernel is named alone. */
function withNamed(
  rows: readonly Invariant<Subject>[],
  others: readonly Invariant<never>[],
): readonly Invariant<Subject>[] {
  const named = others.map(({ id, sentence, when, where }): Invariant<Subject> => ({ id, sentence, when, where }));
  return inOrder([...rows, ...named]);
}
