/** Public surface of the invariants: the rows, and the checker of a kernel at rest and of its boot. */
export * from "./api.js";
export { checkInvariants, type Rows } from "./check-invariants.js";
export { BootWitness, type StepSeen } from "./witness.js";
