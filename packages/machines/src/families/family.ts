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

/**
 * Of cores up to Cascade Lake, whose fetches may end in a machine check where software changed a page's size with no
 * invalidation between; later ones say by a bit (PSCHANGE_MC_NO) that theirs do not.
 */
export const MIXED_SIZES_SOURCE =
  "a fetch that meets two sizes of page: Intel, Machine Check Error Avoidance on Page Size Change (CVE-2018-12207); Linux, Documentation/admin-guide/hw-vuln/multihit.rst";
