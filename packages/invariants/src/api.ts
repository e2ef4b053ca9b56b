/**
 * Everything another package may see of the invariants: what a row and a finding are, the rows themselves, and how rows
 * are run.
 */
export { CachedReader, type CachedRule, type CachingKernel } from "./cached-reader.js";
export { GROUPS, groupOf, inOrder, invariantOf, KERNEL_INVARIANTS } from "./catalogue.js";
export type { Finding, Invariant, InvariantReport, Verdict, Where } from "./invariant.js";
export { findingOf, findings, report } from "./look.js";
export { type CheckedKernel, type OtherRoot, type Part, Subject } from "./subject.js";
export { staleInstructions } from "./stale-instructions.js";
export type { WatchedKernel } from "./watched.js";
