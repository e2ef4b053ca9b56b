/** Set of 64-byte lines, counted by line and by 4 KiB page: a 64-bit mask for each page that was touched. */

const CACHE = 1024; // pages remembered in front of the Map, direct-mapped
const PAGES_4G = 0x10_0000;

/** Distinct lines of a 64-bit address space. Adding a line of a page seen lately costs no hashing. */
export class LineSet {
  /** Distinct lines. */
  lines = 0;
  private readonly slots = new Map<number, number>();
  private mask = new Uint32Array(1 << 10);
  private readonly cachedPage = new Float64Array(CACHE).fill(-1);
  private readonly cachedSlot = new Uint32Array(CACHE);

  /** Distinct 4 KiB pages. */
  get pages(): number {
    return this.slots.size;
  }

  /** Adds the line of an address. @returns whether it is new */
  add(lo: number, hi: number): boolean {
    return this.addLine(hi * PAGES_4G + (lo >>> 12), (lo >>> 6) & 63);
  }

  /** Adds a line, 0 to 63, of a page number below 2^52. @returns whether it is new */
  addLine(page: number, line: number): boolean {
    const entry = page % CACHE;
    if (this.cachedPage[entry] !== page) {
      this.cachedPage[entry] = page;
      this.cachedSlot[entry] = this.slotOf(page);
    }
    const word = this.cachedSlot[entry]! * 2 + (line >>> 5);
    const bit = 1 << (line & 31);
    if ((this.mask[word]! & bit) !== 0) return false;
    this.mask[word]! |= bit;
    this.lines++;
    return true;
  }

  /** Distinct runs of 2^shift pages, e.g. 9 for 2 MiB. */
  runs(shift: number): number {
    return new Set([...this.slots.keys()].map((page) => Math.floor(page / 2 ** shift))).size;
  }

  private slotOf(page: number): number {
    let slot = this.slots.get(page);
    if (slot === undefined) {
      slot = this.slots.size;
      this.slots.set(page, slot);
      if (slot * 2 >= this.mask.length) {
        const larger = new Uint32Array(this.mask.length * 2);
        larger.set(this.mask);
        this.mask = larger;
      }
    }
    return slot;
  }
}
