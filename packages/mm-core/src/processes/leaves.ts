/** Leaves of an address space, in order of address. */
import { type AddressRange, LARGE, PAGE } from "@kreplica/hw-x86/api";
import type { AddressSpace } from "./address-space-api.js";
import type { Mapping } from "../tables/kernel-tables-api.js";

/** Pages of 4 KiB that a leaf maps: 1, or 512. */
export const pagesOf = (mapping: Mapping): number => (mapping.level === 2 ? 512 : 1);

/**
 * Leaves of a space in [start, end), by the address each begins at; one that crosses an end counts, and so does a page
 * without access.
 */
export function* leaves(
  space: AddressSpace,
  { start, end }: AddressRange,
): Generator<{ address: bigint; mapping: Mapping }> {
  for (let at = start; at < end;) {
    const hole = space.nextMapped({ start: at, end });
    if (hole === undefined) return;
    const mapping = space.lookup(hole)!;
    const size = mapping.level === 2 ? LARGE : PAGE;
    const address = hole & ~(size - 1n);
    yield { address, mapping };
    at = address + size;
  }
}
