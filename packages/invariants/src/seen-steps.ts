/** What a BootWitness saw, cut to the steps an invariant is about. */
import type { Subject } from "./subject.js";
import type { StepSeen } from "./witness.js";

/** Steps seen from one on, up to and without another. */
export function between(subject: Subject, from: string, to?: string): readonly StepSeen[] {
  const seen = subject.kernel.witness?.steps ?? [];
  const first = seen.findIndex(({ step }) => step === from);
  const end = to === undefined ? seen.length : seen.findIndex(({ step }) => step === to);
  return first < 0 ? [] : seen.slice(first, end < 0 ? seen.length : end);
}

/** Whether there is nothing to judge: one holder, or nobody watched. */
export const notWatched = (subject: Subject): boolean =>
  !subject.isReplicated || (subject.kernel.witness?.steps.length ?? 0) === 0;
