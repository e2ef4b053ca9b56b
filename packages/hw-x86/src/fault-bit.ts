/** Bits of a page fault's error code. */

/** Page-fault error code. @source SDM vol. 3A, "Page-Fault Error Code" */
export enum FaultBit {
  Protection = 1,
  Write = 2,
  User = 4,
  Reserved = 8,
  Fetch = 16,
  ProtectionKey = 32,
}
