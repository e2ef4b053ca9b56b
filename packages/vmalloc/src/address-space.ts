/**
 * Which kernel addresses are free: gaps in an ordered tree, merged when they touch, lowest fit first.
 *
 * Two regions, as on x86-64: the vmalloc range and the module range behind the image. A gap never spans both.
 */
import { type AddressRange, hex } from "@kreplica/hw-x86/api";
import { InvariantError } from "@kreplica/mm-core/api";
import { RangeTree } from "./range-tree.js";

/** The free addresses. */
export class AddressSpace {
  private readonly gaps = new RangeTree<undefined>();

  /** @param regions disjoint and not touching */
  constructor(readonly regions: readonly AddressRange[]) {
    for (const region of regions) this.gaps.insert(region, undefined);
  }

  /** Number of gaps: fragmentation. */
  get gapCount(): number {
    return this.gaps.size;
  }

  /**
   * Takes the lowest run of `length` bytes on a multiple of `align` within a range.
   * @returns its first address, or undefined when there is no such gap
   */
  takeLowest(length: bigint, align: bigint, within: AddressRange): bigint | undefined {
    const at = this.gaps.lowestFit(length, align, within);
    if (at !== undefined) this.carve({ start: at, end: at + length });
    return at;
  }

  /** Takes exactly a range. @returns false when any of it is taken or outside the regions */
  takeAt(range: AddressRange): boolean {
    const gap = this.gaps.containing(range.start);
    if (!gap || gap.end < range.end) return false;
    this.carve(range);
    return true;
  }

  /**
   * Gives back a range; it merges with the gaps beside it.
   * @throws InvariantError when any of it is free already
   */
  release({ start, end }: AddressRange): void {
    const region = this.regions.find((each) => start >= each.start && end <= each.end);
    if (!region) throw new InvariantError(`${hex(start)}..${hex(end)} lies in no region`);
    let [low, high] = [start, end];
    const below = this.gaps.floor(start);
    if (below && below.end === start && below.start >= region.start) {
      this.gaps.remove(below.start);
      low = below.start;
    }
    const above = this.gaps.floor(end);
    if (above && above.start === end && end < region.end) {
      this.gaps.remove(above.start);
      high = above.end;
    }
    this.gaps.insert({ start: low, end: high }, undefined);
  }

  private carve({ start, end }: AddressRange): void {
    const gap = this.gaps.containing(start);
    if (!gap || gap.end < end) throw new InvariantError("carving what is not free");
    this.gaps.remove(gap.start);
    if (gap.start < start) this.gaps.insert({ start: gap.start, end: start }, undefined);
    if (end < gap.end) this.gaps.insert({ start: end, end: gap.end }, undefined);
  }
}
