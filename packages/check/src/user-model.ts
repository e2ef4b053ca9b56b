/** What a user may see: pages, what may be done with them, what is in them. A map, whatever the kernel's policy. */
import { PAGE, type PageRange } from "@kreplica/hw-x86/api";

/** Never changed: pages that are alike share one, and a child has its parent's. */
export interface ModelPage {
  readonly writable: boolean;
  readonly executable: boolean;
  /** Of an area that grows down by a fault below it. */
  readonly stack: boolean;
  /** {@link WORDS} words of the page, a multiple of 1 KiB apart: one would not show that a copy lost the others. */
  readonly values: readonly number[];
}
export const WORDS = 4;
export const WORD_BYTES = 1024;
/** Pages below a stack within which a fault makes it grow. */
const STACK_GAP = 64;
/** The words of a page that nobody wrote. */
const UNWRITTEN: readonly number[] = Array<number>(WORDS).fill(0);

/** Number of the page an address lies in, of the lower half: below 2^45. */
export const pageNumber = (address: bigint): number => Number(address / PAGE);

/** The pages of one process, by page number. */
export class UserModel {
  private readonly byNumber = new Map<number, ModelPage>();
  brkPages = 0;
  /** Of the LDT, by entry; all others are 0. */
  readonly descriptors = new Map<number, bigint>();

  /** In the order in which they were mapped. */
  get pages(): ReadonlyMap<number, ModelPage> {
    return this.byNumber;
  }

  /** A new program begins without. */
  clear(): void {
    this.byNumber.clear();
    this.brkPages = 0;
    this.descriptors.clear();
  }

  copy(): UserModel {
    const copy = new UserModel();
    for (const [page, each] of this.byNumber) copy.byNumber.set(page, each);
    copy.brkPages = this.brkPages;
    for (const [entry, descriptor] of this.descriptors) copy.descriptors.set(entry, descriptor);
    return copy;
  }

  isFree({ start, pages }: PageRange): boolean {
    const first = pageNumber(start);
    for (let page = first; page < first + pages; page++) if (this.byNumber.has(page)) return false;
    return true;
  }

  isCovered({ start, pages }: PageRange): boolean {
    const first = pageNumber(start);
    for (let page = first; page < first + pages; page++) if (!this.byNumber.has(page)) return false;
    return true;
  }

  map({ start, pages }: PageRange, writable: boolean, stack = false): void {
    const first = pageNumber(start);
    const fresh = { writable, executable: false, stack, values: UNWRITTEN };
    for (let page = first; page < first + pages; page++) this.byNumber.set(page, fresh);
  }

  unmap({ start, pages }: PageRange): void {
    const first = pageNumber(start);
    // Ranges that are unmapped may hold a thousand pages, of which few are there.
    if (pages > this.byNumber.size) {
      for (const page of this.byNumber.keys()) if (page >= first && page < first + pages) this.byNumber.delete(page);
    } else for (let page = first; page < first + pages; page++) this.byNumber.delete(page);
  }

  protect({ start, pages }: PageRange, writable: boolean, executable: boolean): void {
    const first = pageNumber(start);
    for (let page = first; page < first + pages; page++)
      this.byNumber.set(page, { ...this.byNumber.get(page)!, writable, executable });
  }

  /** @param to first address of as many pages that are free */
  move({ start, pages }: PageRange, to: bigint): void {
    const first = pageNumber(start);
    const distance = pageNumber(to) - first;
    for (let page = first; page < first + pages; page++) {
      this.byNumber.set(page + distance, this.byNumber.get(page)!);
      this.byNumber.delete(page);
    }
  }

  /** A fault at a page that is not there: a stack that begins not far above grows down to it. */
  grow(page: number): void {
    if (this.byNumber.has(page)) return;
    for (let above = page + 1; above <= page + STACK_GAP; above++) {
      const found = this.byNumber.get(above);
      if (!found) continue;
      if (!found.stack) return;
      const fresh = { ...found, values: UNWRITTEN };
      for (let each = page; each < above; each++) this.byNumber.set(each, fresh);
      return;
    }
  }

  /** A store to a page that is there. @param word 0 to {@link WORDS} - 1 */
  write(page: number, word: number, value: number): void {
    const found = this.byNumber.get(page)!;
    this.byNumber.set(page, { ...found, values: found.values.map((old, at) => (at === word ? value : old)) });
  }

  allows(page: number, kind: "read" | "write" | "execute"): boolean {
    const found = this.byNumber.get(page);
    return found !== undefined && (kind === "write" ? found.writable : kind === "execute" ? found.executable : true);
  }
}
