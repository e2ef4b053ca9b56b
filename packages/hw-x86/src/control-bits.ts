/** Control register bits that decide anything in translation. */

/** CR0. @source SDM vol. 3A, "Control Registers" */
export enum Cr0 {
  /** Supervisor stores heed the W bit. */
  WriteProtect = 0x1_0000,
  /** Paging, in 64-bit mode with CR4.PAE and EFER.LME. */
  Paging = 0x8000_0000,
}

/** CR4. @source SDM vol. 3A, "Control Registers" */
export enum Cr4 {
  PhysicalAddressExtension = 0x20,
  /** G bits count. */
  PageGlobal = 0x80,
  /** Five levels. */
  FiveLevels = 0x1000,
  /** CR3 bits 11..0 are a PCID. */
  ProcessContext = 0x2_0000,
  /** No supervisor fetch from user pages. */
  SupervisorExecutePrevention = 0x10_0000,
  /** No supervisor data access to user pages unless RFLAGS.AC. */
  SupervisorAccessPrevention = 0x20_0000,
}

/** EFER. @source SDM vol. 4, "IA32_EFER" */
export enum Efer {
  LongModeEnable = 0x100,
  /** Set by the CPU when paging comes on with LME. */
  LongModeActive = 0x400,
  /** NX bits count. */
  NoExecuteEnable = 0x800,
}

export const CR0_KEPT = Cr0.WriteProtect + Cr0.Paging;
export const CR4_KEPT = 0x20 | 0x80 | 0x1000 | 0x2_0000 | 0x10_0000 | 0x20_0000;
export const EFER_KEPT = 0x100 | 0x400 | 0x800;
