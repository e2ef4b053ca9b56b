/** Everything another package may see of replication: the policies as data, and the window. */
export { WINDOW_START } from "./clone-tables.js";
export { CopySteps, OWN_STEPS } from "./copy-steps.js";
export * from "./budget.js";
export { CopiesNow, DemandCopies, type DemandOutcome } from "./demand-api.js";
export { byGroups, type NodeGroup, perDistance } from "./node-groups.js";
export * from "./policy.js";
