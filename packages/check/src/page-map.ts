/** What belongs to each of many pages, by page number, in stretches that copies share until one of them is changed. */

/** Pages of a stretch: of one mapping mostly, and few enough that to copy them is nothing. */
const STRETCH = 64;

interface Stretch<T extends object> {
  /** By page within the stretch; undefined where there is none. */
  readonly slots: (T | undefined)[];
  /** Slots that hold something: 1 to {@link STRETCH}. */
  filled: number;
  /** The only map that has it, and may change it; undefined once another has it too. */
  owner: PageMap<T> | undefined;
}

/** A map from page numbers, from 0 to below 2^45; iterated by stretch, in the order in which those came to be. */
export class PageMap<T extends object> {
  private readonly stretches = new Map<number, Stretch<T>>();
  private filled = 0;

  /** Pages that have something. */
  get size(): number {
    return this.filled;
  }

  get(page: number): T | undefined {
    return this.stretches.get(Math.floor(page / STRETCH))?.slots[page % STRETCH];
  }

  has(page: number): boolean {
    return this.get(page) !== undefined;
  }

  /** Whether any page of a range has something. @param pages from 0 on */
  hasAny(first: number, pages: number): boolean {
    return !this.everyStretch(first, pages, (stretch, from, to) => {
      for (let slot = from; stretch && slot < to; slot++) if (stretch.slots[slot] !== undefined) return false;
      return true;
    });
  }

  /** Whether every page of a range has something; so it is of an empty one. @param pages from 0 on */
  hasAll(first: number, pages: number): boolean {
    return this.everyStretch(first, pages, (stretch, from, to) => {
      for (let slot = from; slot < to; slot++) if (stretch?.slots[slot] === undefined) return false;
      return true;
    });
  }

  set(page: number, value: T): void {
    this.fill(page, 1, value);
  }

  /** Gives all pages of a range the same. @param pages from 0 on */
  fill(first: number, pages: number, value: T): void {
    this.everyStretch(first, pages, (found, from, to, key) => {
      const stretch = found ? this.own(key, found) : this.made(key);
      const { slots } = stretch;
      const before = stretch.filled;
      for (let slot = from; slot < to; slot++) {
        if (slots[slot] === undefined) stretch.filled++;
        slots[slot] = value;
      }
      this.filled += stretch.filled - before;
      return true;
    });
  }

  delete(page: number): void {
    this.deleteRange(page, 1);
  }

  /** @param pages from 0 on */
  deleteRange(first: number, pages: number): void {
    this.everyStretch(first, pages, (found, from, to, key) => {
      if (!found) return true;
      const stretch = this.own(key, found);
      const before = stretch.filled;
      for (let slot = from; slot < to; slot++) {
        if (stretch.slots[slot] !== undefined) stretch.filled--;
        stretch.slots[slot] = undefined;
      }
      this.filled += stretch.filled - before;
      if (stretch.filled === 0) this.stretches.delete(key);
      return true;
    });
  }

  clear(): void {
    this.stretches.clear();
    this.filled = 0;
  }

  /** The same pages; what one map changes afterwards the other does not see. */
  copy(): PageMap<T> {
    const copy = new PageMap<T>();
    for (const [key, stretch] of this.stretches) {
      stretch.owner = undefined;
      copy.stretches.set(key, stretch);
    }
    copy.filled = this.filled;
    return copy;
  }

  /** The visitor may give what it visits something else, and take nothing away. */
  forEach(visit: (value: T, page: number) => void): void {
    for (const [key, { slots, filled }] of this.stretches)
      for (let slot = 0, left = filled; left > 0; slot++) {
        const value = slots[slot];
        if (value === undefined) continue;
        left--;
        visit(value, key * STRETCH + slot);
      }
  }

  /** Whether a page has something of which it is true. */
  some(isSuch: (value: T) => boolean): boolean {
    for (const { slots } of this.stretches.values())
      for (const value of slots) if (value !== undefined && isSuch(value)) return true;
    return false;
  }

  private own(key: number, stretch: Stretch<T>): Stretch<T> {
    if (stretch.owner === this) return stretch;
    const mine = { slots: stretch.slots.slice(), filled: stretch.filled, owner: this };
    this.stretches.set(key, mine);
    return mine;
  }

  private made(key: number): Stretch<T> {
    const stretch = { slots: Array<T | undefined>(STRETCH).fill(undefined), filled: 0, owner: this };
    this.stretches.set(key, stretch);
    return stretch;
  }

  /** Whether a look at each stretch that a range meets, at its slots from one to before another, says true. */
  private everyStretch(
    first: number,
    pages: number,
    look: (stretch: Stretch<T> | undefined, from: number, to: number, key: number) => boolean,
  ): boolean {
    const end = first + pages;
    for (let page = first; page < end;) {
      const key = Math.floor(page / STRETCH);
      const base = key * STRETCH;
      if (!look(this.stretches.get(key), page - base, Math.min(STRETCH, end - base), key)) return false;
      page = base + STRETCH;
    }
    return true;
  }
}
