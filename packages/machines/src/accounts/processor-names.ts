/** What processors call themselves: a vendor's word, a clock in a model's name. */
import type { Vendor } from "@kreplica/hw-x86/api";

const VENDORS: ReadonlyMap<string, Vendor> = new Map([
  ["GenuineIntel", "intel"],
  ["AuthenticAMD", "amd"],
  ["HygonGenuine", "amd"],
]);

/** The vendor of CPUID's word; undefined for one that is not modelled. */
export const vendorOf = (word: string): Vendor | undefined => VENDORS.get(word);

/** Of `... CPU E5-2690 v3 @ 2.60GHz`; undefined where the name has no clock. */
export function hertzIn(name: string): number | undefined {
  const gigahertz = /@ (\d{1,2}(?:\.\d{1,3})?)GHz/.exec(name);
  return gigahertz ? Math.round(Number(gigahertz[1]) * 1e9) : undefined;
}
