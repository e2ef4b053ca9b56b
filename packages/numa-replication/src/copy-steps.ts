/** How a holder gets its tables and copies: the choices of CopyPerNode that another design may take otherwise. */
import { token } from "@kreplica/di";

/** The steps by which copies come to be, each to be replaced alone. */
export interface CopySteps {
  /** Where frames of a holder's copies and tables come from: its own node, or any when that has no more. */
  readonly memory: "the holder's" | "any node's";
  /**
   * What the master runs on: the tables it booted with, below a PGD of its own, or clones of them, as every other
   * holder.
   */
  readonly master: "booted tables" | "cloned tables";
  /**
   * Where the kernel part of a holder's user half leads under KPTI: to tables of its own, or to those of the boot
   * table's.
   */
  readonly userHalf: "its own" | "the boot table's";
  /** Whether holders map the copies made for them. */
  readonly mapsCopies: boolean;
  /** Copies whose alias in the direct map becomes read-only when rodata is final. */
  readonly sealed: { readonly text: boolean; readonly rodata: boolean };
}
export const CopySteps = token<CopySteps>("numa-replication/CopySteps");

/** Every holder for itself. */
export const OWN_STEPS: CopySteps = {
  memory: "the holder's",
  master: "booted tables",
  userHalf: "its own",
  mapsCopies: true,
  sealed: { text: true, rodata: true },
};
