/** Leaves of an address space, in order of address. */
import { type AddressRange, PAGE_BYTES } from "@kreplica/hw-x86/api";
import type { AddressSpace, Leaf } from "./address-space-api.js";
import type { Mapping } from "../tables/kernel-tables-api.js";

/** Pages of 4 KiB that a leaf maps: 1, or 512. */
export const pagesOf = (mapping: Pick<Mapping, "level">): number => (mapping.level === 2 ? 512 : 1);

/** First byte that a leaf maps. */
export const addressOfLeaf = ({ page }: Leaf): bigint => BigInt(page * PAGE_BYTES);

/**
 * Visits the leaves of a space in [start, end), by the page each begins at; one that crosses an end counts, and so does
 * a page without access. What comes behind a leaf is looked for once it was visited: it may be taken away meanwhile.
 * @param visit ends it all by false
 * @returns whether it came to its end
 */
export function eachLeaf(
  space: Pick<AddressSpace, "nextLeaf">,
  { start, end }: AddressRange,
  visit: (leaf: Leaf) => boolean | void,
): boolean {
  const last = Number((end - 1n) >> 12n);
  let leaf: Leaf | undefined;
  for (let at = Number(start >> 12n); at <= last && (leaf = space.nextLeaf(at, last)); at = leaf.page + pagesOf(leaf))
    if (visit(leaf) === false) return false;
  return true;
}
