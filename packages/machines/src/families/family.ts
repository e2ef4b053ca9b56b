/**
 * What all machines of one microarchitecture have in common: who made it, caches of a core, TLBs, the cycle account.
 */
import type { MachineSpec, Vendor } from "@kreplica/hw-x86/api";

/**
 * The costs belong to the family, never to one machine or one test: nothing in them can be turned until a result fits.
 */
export type Family = Pick<
  MachineSpec,
  "l1i" | "l1d" | "l2" | "translation" | "costs" | "physicalBits" | "virtualBits"
> & { readonly vendor: Vendor };
